"""Which pictures of a folder are worth training on, and why: a decision a row, nothing deleted."""
