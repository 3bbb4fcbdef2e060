"""LightningModules: loss, optimizer and validation metric. They know nothing of pruning."""
