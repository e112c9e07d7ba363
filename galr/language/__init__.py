"""Captions as text: their words, and whether they are likely those of their images."""
