"""Training: one loop for every net, with a state that cannot be lost."""
