"""Similarities of images and captions, and recall at k, median rank and mean rank of them."""
