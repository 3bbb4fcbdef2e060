"""The stages of a run, from corpus to row, and of a table."""
