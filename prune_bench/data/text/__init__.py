"""Text for language models, from lines to batches."""
