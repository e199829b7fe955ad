"""How a network learns: steps, learning rates, looks, checkpoints, processes."""
