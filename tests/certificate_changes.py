"""Seeded changes of certificates: of their records, their numbers, or their bytes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from certificate_tools import LONELY, Lines, to_bytes

Mutation = Callable[[Lines, np.random.Generator], Lines]


def exact(text: str) -> Any:
    return LONELY.rationals([text], 1)[0]


def _pick(rng: np.random.Generator, items: list[Any]) -> Any:
    return items[int(rng.integers(len(items)))] if items else None


def _where(lines: Lines, *names: str) -> list[int]:
    return [i for i, line in enumerate(lines) if i and line[0] in names]


def drop_line(lines: Lines, rng: np.random.Generator) -> Lines:
    at = int(rng.integers(len(lines)))
    return lines[:at] + lines[at + 1 :]


def double_line(lines: Lines, rng: np.random.Generator) -> Lines:
    at = int(rng.integers(len(lines)))
    return [*lines[: at + 1], *lines[at:]]


def drop_leaf(lines: Lines, rng: np.random.Generator) -> Lines:
    at = _pick(rng, _where(lines, "sign", "empty", "smooth", "side"))
    return lines if at is None else lines[:at] + lines[at + 1 :]


def drop_child(lines: Lines, rng: np.random.Generator) -> Lines:
    """Take a branch away and leave one of its two subtrees."""
    found = _branch(lines, rng)
    if found is None:
        return lines
    at, middle, end = found
    kept = _pick(rng, [lines[at + 1 : middle], lines[middle:end]])
    return lines[:at] + kept + lines[end:]


def _branch(lines: Lines, rng: np.random.Generator) -> tuple[int, int, int] | None:
    """Return where a branch is, where its second subtree begins, and where that ends."""
    at = _pick(rng, _where(lines, "branch"))
    if at is None:
        return None
    middle = _end_of_subtree(lines, at + 1)
    return at, middle, _end_of_subtree(lines, middle)


def _end_of_subtree(lines: Lines, start: int) -> int:
    left, at = 1, start
    while left:
        left += 1 if lines[at][0] == "branch" else -1
        at += 1
    return at


def swap_children(lines: Lines, rng: np.random.Generator) -> Lines:
    found = _branch(lines, rng)
    if found is None:
        return lines
    at, middle, end = found
    return lines[: at + 1] + lines[middle:end] + lines[at + 1 : middle] + lines[end:]


def truncate(lines: Lines, rng: np.random.Generator) -> Lines:
    return lines[: int(rng.integers(len(lines)))]


def swap_lines(lines: Lines, rng: np.random.Generator) -> Lines:
    i, j = (int(v) for v in rng.integers(1, len(lines), 2))
    lines[i], lines[j] = lines[j], lines[i]
    return lines


def swap_trees(lines: Lines, rng: np.random.Generator) -> Lines:
    """Give two groups each other's tree."""
    trees = _where(lines, "tree")
    i, j = _pick(rng, trees), _pick(rng, trees)
    if i is not None:
        lines[i], lines[j] = lines[j], lines[i]
    return lines


def other_neuron(lines: Lines, rng: np.random.Generator) -> Lines:
    at = _pick(rng, _where(lines, "tree", "branch"))
    other = _pick(rng, _where(lines, "tree", "branch"))
    if at is not None:
        lines[at][1:3] = lines[other][1:3]
    return lines


def other_leaf(lines: Lines, rng: np.random.Generator) -> Lines:
    at = _pick(rng, _where(lines, "sign", "empty", "smooth", "side"))
    if at is not None:
        neuron = lines[_pick(rng, _where(lines, "tree", "branch"))][1:3]
        lines[at] = _pick(rng, [["sign"], ["empty", []], ["smooth"], ["side", *neuron, *neuron]])
    return lines


def other_side(lines: Lines, rng: np.random.Generator) -> Lines:
    """Name another unit that is said to contradict a side, or exchange the two."""
    at = _pick(rng, _where(lines, "side"))
    if at is not None:
        other = lines[_pick(rng, _where(lines, "tree", "branch"))][1:3]
        on, off = lines[at][1:3], lines[at][3:]
        lines[at] = _pick(rng, [["side", *other, *off], ["side", *on, *other],
                                ["side", *off, *on], ["side", *on, *on]])  # fmt: skip
    return lines


def _multipliers(lines: Lines) -> list[Lines]:
    found = [lines[i][-1] for i in _where(lines, "empty")]
    bounds = [entry for i in _where(lines, "bounds") for entry in lines[i][-1]]
    bounds += [entry for tree in _with_bounds(lines) for entry in tree[4]]
    found += [side for entry in bounds for side in entry[2:]]
    return [entries for entries in found if isinstance(entries, list) and entries]


def _with_bounds(lines: Lines) -> list[Lines]:
    return [lines[i] for i in _where(lines, "tree") if len(lines[i]) > 3]


def other_line(lines: Lines, rng: np.random.Generator) -> Lines:
    """Change the multiple of the group in a bound by lines, or drop the bound."""
    every = [tree[4] for tree in _with_bounds(lines)]
    every += [lines[i][-1] for i in _where(lines, "bounds")]
    bounds = _pick(rng, [some for some in every if some])
    if bounds is not None:
        entry = _pick(rng, bounds)
        side = 2 + int(rng.integers(2))
        if rng.random() < 0.3:
            bounds.remove(entry)
        elif isinstance(entry[side], str):
            value = exact(entry[side])
            entry[side] = str(_pick(rng, [-value, 2 * value, value + 1, 0]))
        else:
            entry[side] = _pick(rng, ["0", "1", "-1/3"])
    return lines


def other_cut(lines: Lines, rng: np.random.Generator) -> Lines:
    """Change a number, a side, the unit or the place of a cut, or which one a row names."""
    tree = _pick(rng, [tree for tree in _with_bounds(lines) if tree[5:] and tree[5]])
    if tree is None:
        return lines
    cut, change = _pick(rng, tree[5]), int(rng.integers(6))
    if change == 0:
        at = int(rng.integers(len(cut[4])))
        value = exact(cut[4][at])
        cut[4][at] = str(
            _pick(rng, [-value, 2 * value, value + 1, value - 1, Fraction(value) / 2, 0])
        )
    elif change == 1:
        cut[2 + int(rng.integers(2))] = _pick(rng, [None, "1", "-1/2", [["facet", "1"]], []])
    elif change == 2:
        cut[:2] = _pick(rng, [tree[1:3], *(other[:2] for other in tree[5])])
    elif change == 3:
        tree[5].remove(cut)
    elif change == 4:
        tree[5].reverse()
    else:
        rows = [entry for entries in _multipliers(lines) for entry in entries if entry[0] == "cut"]
        _pick(rng, rows)[1] = int(rng.integers(len(tree[5]) + 1))
    return lines


def other_face(lines: Lines, rng: np.random.Generator) -> Lines:
    tree = _pick(rng, _with_bounds(lines))
    if tree is not None:
        tree[3] = _pick(rng, [0, 1, 2, -2, -tree[3]])
    return lines


def change_multiplier(lines: Lines, rng: np.random.Generator) -> Lines:
    entries = _pick(rng, _multipliers(lines))
    if entries is not None:
        entry = _pick(rng, entries)
        value = exact(entry[-1])
        change = _pick(rng, [-value, 2 * value, value + 1, value * 10**40, value / 3])
        entry[-1] = str(change)
    return lines


def flip_sign(lines: Lines, rng: np.random.Generator) -> Lines:
    numbers = _numbers(lines)
    if numbers:
        place, at = _pick(rng, numbers)
        place[at] = str(-exact(place[at]))
    return lines


def huge_number(lines: Lines, rng: np.random.Generator) -> Lines:
    numbers = _numbers(lines)
    if numbers:
        place, at = _pick(rng, numbers)
        huge = ["9" * 4000, "0x" + "f" * 50_000, "1/0x1" + "0" * 50_000, "9" * 300_000]
        place[at] = _pick(rng, huge)
    return lines


def _numbers(lines: Lines) -> list[tuple[list[str], int]]:
    """Return where exact numbers are: multipliers, points, sides and rows of the domain."""
    found = [(entry, len(entry) - 1) for entries in _multipliers(lines) for entry in entries]
    lists = [part for i in _where(lines, "pair") for part in lines[i][1:]]
    lists += [lines[i][1] for i in _where(lines, "interior")]
    lists += [side for equation in _equations(lines) for side in equation[1:]]
    domain = lines[0]["domain"]
    lists += [domain[side] for side in ("lower", "upper", "b") if side in domain]
    lists += domain.get("A", [])
    found += [(entry, at) for entry in _boxes(lines) for at in (0, 1)]
    found += [(entry, 1) for side in _boxes(lines) for rows in side[2:] for entry in rows]
    return found + [(part, at) for part in lists for at in range(len(part))]


def _boxes(lines: Lines) -> list[Lines]:
    """Return what is said of each input in boxes around polyhedra."""
    return [entry for i in _where(lines, "interior") for box in lines[i][3:] for entry in box]


def _equations(lines: Lines) -> list[Lines]:
    return [equation for i in _where(lines, "interior") for equation in lines[i][2]]


def other_equation(lines: Lines, rng: np.random.Generator) -> Lines:
    """Drop or double an equation, or solve it for another input."""
    at = _pick(rng, _where(lines, "interior"))
    if at is not None and lines[at][2]:
        equations = lines[at][2]
        where = int(rng.integers(len(equations)))
        change = int(rng.integers(4))
        if change == 0:
            equations.pop(where)
        elif change == 1:
            equations.append(copy.deepcopy(equations[where]))
        elif change == 2:
            equations[where][0] = int(rng.integers(len(lines[at][1])))
        else:
            equations[where][1] = equations[where][2]
    return lines


def other_box(lines: Lines, rng: np.random.Generator) -> Lines:
    """Move or exchange sides of the box around a polyhedron, change its rows, or drop it."""
    at = _pick(rng, [i for i in _where(lines, "interior") if len(lines[i]) > 3 and lines[i][3]])
    if at is None:
        return lines
    box = lines[at][3]
    bounded, side, change = _pick(rng, box), int(rng.integers(2)), int(rng.integers(6))
    if change == 0:
        lines[at].pop()
    elif change == 1:
        bounded[side] = str(exact(bounded[side]) * _pick(rng, [0, -1, 2, Fraction(1, 2)]))
    elif change == 2:
        bounded[2 + side] = []
    elif change == 3:
        bounded[0], bounded[1] = bounded[1], bounded[0]
    elif change == 4:
        bounded[:] = copy.deepcopy(_pick(rng, box))
    else:
        entry = _pick(rng, bounded[2 + side])
        entry[:] = [int(rng.integers(4)), str(exact(entry[1]) * _pick(rng, [0, -1, 2, 10**40]))]
    return lines


def drop_multiplier(lines: Lines, rng: np.random.Generator) -> Lines:
    entries = _pick(rng, _multipliers(lines))
    if entries is not None:
        entries.pop(int(rng.integers(len(entries))))
    return lines


def other_row(lines: Lines, rng: np.random.Generator) -> Lines:
    entries = _pick(rng, _multipliers(lines))
    if entries is not None:
        entry = _pick(rng, entries)
        entry[0] = _pick(rng, ["facet", "sign", "above", "below", "domain", "jump", "on", "off"])
    return lines


def move_point(lines: Lines, rng: np.random.Generator) -> Lines:
    at = _pick(rng, _where(lines, "interior", "pair"))
    if at is not None:
        point = lines[at][1]
        point[int(rng.integers(len(point)))] = _pick(
            rng, ["0", "1", "1/7", "-1/3", "1" + "0" * 999]
        )
    return lines


def other_domain(lines: Lines, rng: np.random.Generator) -> Lines:
    domain = lines[0]["domain"]
    numbers = domain.get(_pick(rng, ["lower", "upper", "b"]))
    if numbers:
        at = int(rng.integers(len(numbers)))
        numbers[at] = str(exact(numbers[at]) * _pick(rng, [0, 2, -1, 8]))
    else:
        lines[0]["domain"] = {"type": "everywhere"}
    return lines


def other_claim(lines: Lines, rng: np.random.Generator) -> Lines:
    lines[0]["claim"] = _pick(rng, ["convex", "concave", "nonconvex", "nonconcave"])
    return lines


def other_inputs(lines: Lines, rng: np.random.Generator) -> Lines:
    lines[0]["inputs"] = [int(rng.integers(3))]
    return lines


def other_digest(lines: Lines, rng: np.random.Generator) -> Lines:
    digest = lines[0]["model"]
    at = int(rng.integers(len(digest)))
    lines[0]["model"] = digest[:at] + _pick(rng, list("0123456789abcdef")) + digest[at + 1 :]
    return lines


MUTATIONS: tuple[Mutation, ...] = (
    drop_line, double_line, drop_leaf, drop_child, swap_children, truncate, swap_lines,
    swap_trees, other_neuron, other_leaf, other_side, flip_sign, huge_number, change_multiplier,
    drop_multiplier, other_line, other_cut, other_face, other_row, other_equation, other_box,
    move_point, other_domain, other_claim, other_inputs, other_digest,
)  # fmt: skip
BYTES = "bytes"  # the change of a bit, or an end in the middle of a line


def mutant(lines: Lines, rng: np.random.Generator) -> tuple[str, bytes]:
    """Return the certificate with one seeded change, of its records or bytes, and its name."""
    original = to_bytes(lines)
    while True:
        if rng.random() < 0.1:
            name, data = BYTES, _changed_bytes(original, rng)
        else:
            mutation = _pick(rng, list(MUTATIONS))
            name, data = mutation.__name__, to_bytes(mutation(copy.deepcopy(lines), rng))
        if data != original:
            return name, data


def _changed_bytes(original: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(original)
    at = int(rng.integers(len(data)))
    if rng.random() < 0.5:
        return bytes(data[:at])
    data[at] ^= 1 << int(rng.integers(7))
    return bytes(data)
