"""Leakage between parts of a data set: identical captions and near-duplicate images."""
