"""Scenes of any size with their coordinates, read window by window; needs rasterio."""
