"""Multivariate rerank of retrieval results."""
