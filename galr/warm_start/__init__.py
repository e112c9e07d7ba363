"""Pretrains the backbone on images without captions."""
