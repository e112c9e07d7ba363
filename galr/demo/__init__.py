"""The built-in demo data: drawn aerial scenes with captions and a detector's output."""

from galr.demo.folder import DemoOptions, make_demo

__all__ = ["DemoOptions", "make_demo"]
