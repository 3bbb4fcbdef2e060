"""Plain modules. Every width of every layer comes from an Arch, so that a compacted model is the same class."""
