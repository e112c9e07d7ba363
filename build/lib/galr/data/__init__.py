"""From files to batches: annotations, vocabulary, folds, images, data sets."""
