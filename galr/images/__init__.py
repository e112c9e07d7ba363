"""Image files: folders, formats, bit depths, damaged files, and caches."""
