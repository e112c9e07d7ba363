"""What a training run reports about itself, and warnings if it goes wrong."""
