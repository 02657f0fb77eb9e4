"""Refutation along lines: chains of a network on a line, and where they bend down."""
