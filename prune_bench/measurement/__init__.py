"""Size, FLOPs, speed and accuracy of a finished model."""
