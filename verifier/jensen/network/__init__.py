"""ReLU networks as layer graphs: values, checks, digests, stacks of networks."""
