"""From a model to embeddings, recalls and tables."""
