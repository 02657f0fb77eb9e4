"""Rigorous bounds on pre-activations and on sums over paths."""
