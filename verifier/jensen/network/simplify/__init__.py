"""Exact simplification of networks as they are built."""
