"""Many options files side by side, and one table of them."""
