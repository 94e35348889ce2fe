"""Training: a run config in, a trained space or assistant out."""
