"""Joint branch and bound: J as objective and state of one warm-started program per group."""
