"""The Conformer-Transducer."""
