"""The linear regions of networks of one or two inputs, and the path conditions on their facets."""
