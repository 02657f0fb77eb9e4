"""Train PyTorch modules to certified convexity (docs/learning.md); needs the extra "torch".

The names below are imported when they are used, so that ``import jensen`` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

from jensen.errors import MissingExtraError

_HOMES = {
    "ConvexTraining": "history",
    "ConvexityGuard": "guard",
    "Round": "history",
    "clip_to_icnn_": "clipping",
    "make_convex": "training",
    "path_values": "paths",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ImportError as error:
        if isinstance(error, MissingExtraError) or (error.name or "").split(".")[0] != "torch":
            raise
        raise MissingExtraError(
            'jensen.learning needs the extra "torch": pip install "jensen[torch]"'
        ) from None
    return getattr(home, name)


def __dir__() -> list[str]:
    return __all__
