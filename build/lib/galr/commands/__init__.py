"""The commands that are also scripts at the top level."""
