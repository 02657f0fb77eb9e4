"""The linear regions of networks of one to three inputs, and the path conditions on facets."""
