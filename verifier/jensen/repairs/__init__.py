"""The nearest convex network with the same hidden layers (docs/repair.md)."""
