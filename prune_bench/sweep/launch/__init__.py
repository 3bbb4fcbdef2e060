"""Which stages still have to run, where, and how far they are."""
