"""Data folders from downloaded files (``python -m galr.data``): prepare and check."""
