"""ExpTest: train a neural network without choosing a learning rate."""
