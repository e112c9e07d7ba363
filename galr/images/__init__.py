"""Image files as people have them: folders, formats, bit depths, and damaged ones."""
