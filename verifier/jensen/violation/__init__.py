"""How far from convex: worst pair and worst jump, on boxes and on all of R^n."""
