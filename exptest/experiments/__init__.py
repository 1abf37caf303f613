"""The paper's experiments, one file each: a seeded config, a run, a record."""
