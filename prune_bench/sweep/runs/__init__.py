"""Which runs there are, what each needs, where it lies and the row it leaves."""
