"""A neural network in 8-bit integers whose bits are the same on every machine. See `operators` for what it computes."""
