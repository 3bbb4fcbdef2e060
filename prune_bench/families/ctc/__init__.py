"""A wav2vec 2.0 encoder with a CTC head, and its own pretraining."""
