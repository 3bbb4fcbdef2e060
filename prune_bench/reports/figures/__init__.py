"""The kinds of figure."""
