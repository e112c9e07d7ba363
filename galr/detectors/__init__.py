"""Local features from images: runs detectors, reads their output, draws overlays."""
