"""Objects: in memory, in a directory of YAML."""
