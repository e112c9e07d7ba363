"""Trains skip-thoughts on your own text and writes them in the official format."""
