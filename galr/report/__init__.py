"""The report of an experiment: one page that opens from disk."""
