"""The web page of an archive: python -m galr.search serve."""
