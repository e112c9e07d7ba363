"""What a training run reports about itself, and the warnings where it goes wrong."""
