"""Trains skip-thoughts on a corpus of one's own, in the format of the official files."""
