"""Other projects' checkpoints, read: config, weights, tokenizer, preprocessing."""
