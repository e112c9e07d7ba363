"""Exports checkpoints as folders to share."""
