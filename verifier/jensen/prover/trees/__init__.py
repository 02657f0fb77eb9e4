"""Trees over hidden signs for one group, and facet programs with big-M."""
