"""Deciding without any endpoint: words and shapes on the screen, ranked by a space."""
