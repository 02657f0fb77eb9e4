"""Linear programs by the enumeration of all vertices, in fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations


def vertices(A, b, n):
    """Solutions of n independent rows taken as equations."""
    for rows in combinations(range(len(A)), n):
        system = [[*map(Fraction, A[i]), Fraction(b[i])] for i in rows]
        point = gauss(system, n)
        if point is not None:
            yield point


def gauss(system, n):
    for k in range(n):
        pivot = next((r for r in range(k, n) if system[r][k]), None)
        if pivot is None:
            return None
        system[k], system[pivot] = system[pivot], system[k]
        system[k] = [v / system[k][k] for v in system[k]]
        for r in range(n):
            if r != k:
                system[r] = [
                    a - system[r][k] * p for a, p in zip(system[r], system[k], strict=True)
                ]
    return [row[-1] for row in system]


def dot(a, b):
    return sum((Fraction(x) * Fraction(y) for x, y in zip(a, b, strict=True)), Fraction(0))


def holds(A, b, equality, v):
    return all(
        dot(row, v) == limit if equal else dot(row, v) <= limit
        for row, limit, equal in zip(A, b, equality, strict=True)
    )
