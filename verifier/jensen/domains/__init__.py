"""Where convexity is asked: boxes, polyhedra, all of R^n, and their working sets."""
