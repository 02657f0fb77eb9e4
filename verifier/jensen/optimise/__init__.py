"""Using a proof of convexity: minimisers, conjugates, proximal points, with proved gaps."""
