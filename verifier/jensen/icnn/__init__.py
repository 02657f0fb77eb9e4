"""Input-convex networks: recognised, and built from networks that are equal to one."""
