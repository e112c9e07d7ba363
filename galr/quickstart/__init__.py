"""One command from pictures and captions to a search page (``python -m galr.quickstart``)."""
