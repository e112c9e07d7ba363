"""A page about an experiment that opens from disk and is understood without reading code."""
