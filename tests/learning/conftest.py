"""One thread: the networks are small, and test processes share the processors."""

import importlib.util

if importlib.util.find_spec("torch") is not None:
    import torch

    torch.set_num_threads(1)
