"""What is done for a run, stage by stage."""
