"""Folders of media, indexed and searched."""
