"""The department config: one file, read into frozen settings."""
