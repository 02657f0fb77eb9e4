"""Exact convexity verification of ReLU networks."""
