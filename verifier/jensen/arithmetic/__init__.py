"""Exact and outward-rounded arithmetic: rationals, intervals, simplex, lossless casts."""
