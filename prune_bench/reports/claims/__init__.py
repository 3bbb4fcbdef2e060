"""A paper's conclusions, judged on rows."""
