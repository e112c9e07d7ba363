"""Semantic localisation: where in a large scene a sentence is (``python -m galr.localise``)."""
