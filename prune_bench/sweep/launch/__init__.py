"""The stages that still have to run: planned, started, watched."""
