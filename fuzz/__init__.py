"""Inputs that nobody would write: random, mutated, and led by which lines they reach."""
