"""The tests: losses in, verdicts out. Nothing here knows what a network is."""
