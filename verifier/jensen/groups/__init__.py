"""Hyperplane groups, their slopes, linear forms and jumps."""
