"""Loss, epochs, checkpoints and experiments over folds."""
