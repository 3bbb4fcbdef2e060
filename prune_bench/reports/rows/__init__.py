"""Rows as they are read, and the numbers taken from them."""
