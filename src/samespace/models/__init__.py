"""Tensors in, tensors out: the towers, as in their papers. No files, no tokenizer, no network."""
