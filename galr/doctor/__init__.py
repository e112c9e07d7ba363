"""What a helper would ask for about a machine and a planned run, and what is wrong with them."""
