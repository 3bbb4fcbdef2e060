"""Search: from a model's scores to tokens."""
