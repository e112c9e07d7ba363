"""From files to batches: annotations, vocabulary, folds, images, datasets and loaders."""
