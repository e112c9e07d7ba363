"""One command from images and captions to a search page (``python -m galr.quickstart``)."""
