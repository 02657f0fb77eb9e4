"""Keras 3 on PyTorch: a Keras model is a torch module, so the guard takes it as it is."""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np

import jensen

LAYERS = [
    keras.Input((2,)),
    keras.layers.Dense(8, activation="relu"),
    keras.layers.Dense(8, activation="relu"),
    keras.layers.Dense(1),
]


class ConvexModel(keras.Sequential):
    """A model with the penalty as a term of its loss."""

    def compute_loss(self, *args: Any, **keywords: Any) -> Any:
        """Return the loss that was compiled, and the penalty."""
        return super().compute_loss(*args, **keywords) + 3.0 * guard.penalty()


keras.utils.set_random_seed(0)
model = ConvexModel(LAYERS)
guard = jensen.learning.ConvexityGuard(model, jensen.Box(-1, 1), input_shape=2)


def main(rounds: int = 20, epochs: int = 10) -> jensen.Verdict:
    """Fit ``|x| + |y|``, verify after each round, stop at the proof."""
    X = np.random.default_rng(0).uniform(-1, 1, (1024, 2)).astype("float32")
    y = np.abs(X).sum(axis=1, keepdims=True)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="mse")
    for _ in range(rounds):
        model.fit(X, y, batch_size=128, epochs=epochs, verbose=0)
        if guard.search() < 0:
            continue
        verdict = guard.verify(time_limit=60)
        if verdict.status == "convex":
            break
    else:
        verdict = guard.verify(time_limit=60)
    print(verdict.summary)
    return verdict


if __name__ == "__main__":
    main()
