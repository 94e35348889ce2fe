"""Processes that are killed at random moments, over and over: what they were writing is whole afterwards, and nothing is lost or double."""
