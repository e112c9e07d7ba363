"""The commands behind the scripts at the top level."""
