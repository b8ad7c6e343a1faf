"""Pictures as arrays to train on, and data sets that come from elsewhere."""
