"""A Transformer language model, alone or in fusion with the Conformer-Transducer."""
