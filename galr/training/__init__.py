"""From options and data to trained folds: losses, schedule, one step, one fold, an experiment."""
