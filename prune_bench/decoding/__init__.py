"""From a model's scores to tokens."""
