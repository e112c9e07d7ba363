"""From a trained model to embeddings, recall@k and the table of results."""
