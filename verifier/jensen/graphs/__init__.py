"""Networks over smooth and piecewise-linear functions, as one graph of nodes."""
