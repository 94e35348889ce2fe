"""Explanations: why an image matches a query, and activations inside the models."""
