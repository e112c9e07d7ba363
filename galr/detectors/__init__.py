"""Local features from images: detectors, readers of their output, segments, overlays."""
