"""MILP encodings of ReLU networks for Pyomo, usable in anyone's model."""
