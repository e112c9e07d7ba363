"""Checks a machine and a planned run."""
