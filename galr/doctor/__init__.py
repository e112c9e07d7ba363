"""Checks of a machine and of a planned run."""
