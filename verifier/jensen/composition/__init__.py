"""Convexity by composition, and its refutation in ball arithmetic."""
