"""Image files as people have them: folders, formats, bit depths, damaged ones, and caches."""
