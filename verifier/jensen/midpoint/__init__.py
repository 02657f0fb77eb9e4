"""Pairs of points and their midpoint: programs, relaxations and searches."""
