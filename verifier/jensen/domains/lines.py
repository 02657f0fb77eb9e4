"""Random segments inside a domain, of widely different lengths: hints, in floating point."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from jensen.domains.hull import inner_ball
from jensen.types import FloatArray

Segments = tuple[FloatArray, FloatArray]  # starts and steps, each (count, inputs)


class Lines(ABC):
    """Where segments are drawn from."""

    @abstractmethod
    def draw(self, count: int, parts: int, moves: FloatArray, rng: np.random.Generator) -> Segments:
        """Return starts of segments, and steps of which so many lead to the ends.

        Parameters
        ----------
        count, parts : int
            Segments, steps of each.
        moves : array (inputs,)
            1 for inputs that segments may vary, 0 for the others.
        rng : numpy.random.Generator
        """


class BoxLines(Lines):
    """Segments between random points of a box, half of them shortened."""

    def __init__(self, lower: FloatArray, upper: FloatArray) -> None:
        self._lower, self._upper = lower, upper

    def draw(self, count: int, parts: int, moves: FloatArray, rng: np.random.Generator) -> Segments:
        """Return starts and steps; no differences of sides, which may overflow."""
        lower, upper = self._lower, self._upper
        ends = rng.random((2, count, len(moves)))
        # half of the segments shorter, so that fine structure is seen too
        short = 10.0 ** rng.uniform(-3, 0, (count, 1))
        share = np.where(rng.random((count, 1)) < 0.5, 1.0, short)
        ends[1] = ends[0] + share * (ends[1] - ends[0]) * moves
        start, end = np.minimum(np.maximum(lower * (1 - ends) + upper * ends, lower), upper)
        return start, end / parts - start / parts


class FreeLines(Lines):
    """Segments of R^n around points at about the distance of the kinks."""

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def draw(self, count: int, parts: int, moves: FloatArray, rng: np.random.Generator) -> Segments:
        """Return starts and steps."""
        length, directions = _directions(count, moves, self._scale, rng)
        middles = rng.normal(size=directions.shape) * self._scale
        middles *= 10.0 ** rng.uniform(-2, 2, (count, 1)) / np.sqrt(len(moves))
        return middles - length * directions, directions * (2 * length / parts)


class Chords(Lines):
    """Chords of ``A x <= b`` through a ball inside, as close to the kinks as possible."""

    def __init__(self, A: FloatArray, b: FloatArray, scale: float) -> None:
        self._A, self._b, self._scale = A, b, scale
        self._ball = np.zeros(A.shape[1]), 0.0
        for reach in (4 * scale, 1e3 * scale, 1e6 * max(scale, 1.0)):
            self._ball = inner_ball(A, b, reach)
            if self._ball[1] > 0:
                break

    def draw(self, count: int, parts: int, moves: FloatArray, rng: np.random.Generator) -> Segments:
        """Walk from the middle of the ball to the walls, then take chords there."""
        length, directions = _directions(count, moves, self._scale, rng)
        centre, radius = self._ball
        shift = rng.normal(size=directions.shape)
        norms = np.maximum(np.linalg.norm(shift, axis=1, keepdims=True), 1e-300)
        shift *= rng.uniform(0, 1, (count, 1)) * radius / norms
        points = centre + shift
        back, forth = self.reach(points, directions, length)
        return points - back * directions, directions * (back + forth) / parts

    def reach(
        self, points: FloatArray, directions: FloatArray, length: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return how far lines from inside may go both ways, at most ``length``."""
        room = np.maximum(self._b - points @ self._A.T, 0.0)
        speed = directions @ self._A.T
        with np.errstate(divide="ignore", invalid="ignore"):
            forth = np.where(speed > 0, room / speed, np.inf).min(axis=1, initial=np.inf)
            back = np.where(speed < 0, room / -speed, np.inf).min(axis=1, initial=np.inf)
        shrink = 1 - 1e-9  # the ends stay inside after rounding
        return (
            np.minimum(back[:, None], length) * shrink,
            np.minimum(forth[:, None], length) * shrink,
        )


def _directions(
    count: int, moves: FloatArray, scale: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return half lengths, (count, 1), and unit directions, (count, inputs)."""
    length = scale * 10.0 ** rng.uniform(-2, 3, (count, 1))
    directions = rng.normal(size=(count, len(moves))) * moves
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-300)
    return length, directions
