"""The sections of an options file, one or a few that belong together in a module."""
