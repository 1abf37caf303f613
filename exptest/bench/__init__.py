"""Benchmarks, one file each: ratios measured side by side in one run, never absolute promises."""
