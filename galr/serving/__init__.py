"""A web server that loses nothing it has accepted: connections, limits, workers, metrics, logs."""
