"""Runs: the grid of a command, their dependencies, folders and rows."""
