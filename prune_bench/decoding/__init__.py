"""From a model's scores to units."""
