"""Check a ``jensen-certificate/1`` against a model: standard library and exact numbers only.

Run as ``python checker.py MODEL CERTIFICATE``. Exit code 0: accepted, the claim is proved;
1: rejected, with the first wrong line; 2: the model or the certificate is malformed.
The format, and the proof that an accepted claim is true, are in docs/FORMAT.md, to which
the section numbers refer. This file shares no code with the prover, on purpose.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
import sys
import zipfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from math import ceil, gcd, isfinite, lcm
from typing import Any, NamedTuple

FORMAT, MODEL_FORMAT = "jensen-certificate/1", "jensen-network/1"
MAX_MODEL, MAX_LINE, MAX_FILE = 1 << 28, 1 << 24, 1 << 30  # bytes, a certificate's unpacked
MAX_INPUTS, MAX_NUMBER, MAX_SCALE = 1 << 20, 200_000, 1 << 17  # characters; bits to scale with
NPY = rb"\x93NUMPY\x01\0[\0-\xff]{2}\{'descr': '<(f8|i8|U\d+)', 'fortran_order': False, .*\} *\n"
ONE = 0  # the unit that is constantly 1

Number = int | Fraction
Form = dict[int, Any]  # linear form; key u: the unit u, key -u: max(zeta_u, 0)
Term = tuple[int, int, int, Fraction, bool]  # top, bottom, unit, factor; whether linear
Place = list[tuple[int, Fraction]]  # units and the factors that they are multiplied with
Row = tuple[tuple[int, int, int], ...]  # (unit, slope where it is on, slope where it is off)


class Malformed(Exception):  # noqa: N818  (it is an answer, like Rejected)
    """The file is not of the documented format; as is any file that raises another error."""


class Rejected(Exception):  # noqa: N818
    """A step does not follow."""


class Block(NamedTuple):
    """A block of the model; an edge is a source and per row its {column: weight}."""

    name: str
    relu: bool
    bias: list[float]
    edges: dict[str, list[dict[int, float]]]


class Model(NamedTuple):
    """A network exactly as stored."""

    inputs: int
    blocks: list[Block]


# --------------------------------------------------------------------- reading (section 2)


def need(condition: object, message: str) -> None:
    """Raise :class:`Malformed` unless the condition holds."""
    if not condition:
        raise Malformed(message)


def parse(text: str) -> Any:
    """Read JSON without repeated keys."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(pairs)) == len(pairs), "a key is repeated")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=distinct)


def natural(value: Any, limit: int) -> int:
    """Return an integer in ``range(limit)``."""
    if type(value) is int and 0 <= value < limit:
        return value
    raise Malformed(f"{str(value)[:20]} is no index: 0 <= n < {limit} is needed")


def double(value: Any) -> float:
    """Return a finite double, from an archive or as ``float.hex`` writes it."""
    number = float.fromhex(value) if isinstance(value, str) else float(value)
    need(isfinite(number), "a weight is not finite")
    return number + 0.0  # no negative zero


def rational(text: Any) -> Fraction:
    """Read "-3", "2/7" or "-0x1f/0x2b"."""
    need(isinstance(text, str) and len(text) <= MAX_NUMBER, "a number must be a short string")
    return Fraction(*(int(part, 0) for part in text.split("/")))


def rationals(items: Any, count: int) -> list[Fraction]:
    """Read a list of so many numbers."""
    need(isinstance(items, list) and len(items) == count, f"a list of {count} numbers is needed")
    numbers, scale = [rational(item) for item in items], 1
    for number in numbers:  # with a huge common denominator, sums would take hours
        scale = lcm(scale, number.denominator)
        need(scale.bit_length() <= MAX_SCALE, "the numbers have too many digits")
    return numbers


def read_array(archive: zipfile.ZipFile, name: str) -> Any:
    """Return the values of an array of an archive in C order, or its text."""
    raw = archive.read(name + ".npy")
    head = re.match(NPY, raw)
    if head is None:
        raise Malformed(f"{name}: stored in a way that `jensen export` does not use")
    data = raw[head.end() :]
    if head[1].startswith(b"U"):
        return data.decode("utf-32-le")
    return memoryview(data).cast("d" if head[1] == b"f8" else "q")


def read_entries(archive: zipfile.ZipFile, name: str, storage: str, width: int) -> Iterator[Any]:
    """Yield (row, column, weight) of one stored matrix."""
    if storage == "csr":
        parts = (read_array(archive, f"{name}_{part}") for part in ("data", "indices", "indptr"))
        data, columns, ends = parts
        for i, (start, end) in enumerate(pairwise(ends)):
            for at in range(start, end):
                yield i, columns[at], data[at]
    else:
        for at, weight in enumerate(read_array(archive, name)):
            yield at // width, at % width, weight


def read_model(path: str) -> Model:
    """Read the ``.npz`` or the ``.json`` form of a network."""
    if path.endswith(".json"):
        with open(path, "rb") as file:
            raw = file.read(MAX_MODEL + 1)
        need(len(raw) <= MAX_MODEL, "the file is too large")
        return build_model(parse(raw.decode()))
    need(path.endswith(".npz"), "the model must be .npz or .json: use `jensen export`")
    with zipfile.ZipFile(path) as archive:
        total = sum(info.file_size for info in archive.infolist())
        need(total <= MAX_MODEL, f"the archive unpacks to {total} bytes")
        head = parse(read_array(archive, "header"))
        sizes = {"input": head["input_size"]} | {b["name"]: b["size"] for b in head["blocks"]}
        for i, block in enumerate(head["blocks"]):
            block["bias"] = read_array(archive, f"b{i}")
            for j, edge in enumerate(block["inputs"]):
                place = (archive, f"w{i}_{j}", edge["storage"], sizes[edge["from"]])
                edge["entries"] = read_entries(*place)
        return build_model(head)


def build_model(head: Any) -> Model:
    """Build the network from its description and check it."""
    need(head["format"] == MODEL_FORMAT, f"the format is not {MODEL_FORMAT}")
    model = Model(natural(head["input_size"], MAX_INPUTS), [])
    sizes = {"input": model.inputs}
    for entry in head["blocks"]:
        name, bias, edges = entry["name"], [double(b) for b in entry["bias"]], {}
        need(isinstance(name, str) and name not in sizes, f"block {name!r} is repeated")
        need(entry["activation"] in ("relu", "identity"), f"{name}: unknown activation")
        need(len(bias) == entry["size"] > 0, f"{name}: {len(bias)} biases")
        for edge in entry["inputs"]:
            source, rows = edge["from"], [dict[int, float]() for _ in bias]
            need(source in sizes and source not in edges, f"{name}: cannot read {source!r}")
            for i, j, weight in edge["entries"]:
                row = rows[natural(i, len(rows))]
                need(j not in row, "a weight is repeated")
                row[natural(j, sizes[source])] = double(weight)
            edges[source] = [{j: row[j] for j in sorted(row) if row[j]} for row in rows]
        sizes[name] = len(bias)
        model.blocks.append(Block(name, entry["activation"] == "relu", bias, edges))
    need(model.blocks[-1].name == "output" and not model.blocks[-1].relu, "no affine output")
    return model


def model_digest(model: Model) -> str:
    """SHA-256 of the exact description of the function."""
    sha = hashlib.sha256(f"{MODEL_FORMAT}\n{model.inputs}\n".encode())
    for name, relu, bias, edges in model.blocks:
        head = [name, "relu" if relu else "identity", len(bias), list(edges)]
        sha.update(json.dumps(head).encode() + b"\n" + struct.pack(f"<{len(bias)}d", *bias))
        for rows in edges.values():
            sha.update(struct.pack("<Q", sum(map(len, rows))))
            for i, row in enumerate(rows):
                sha.update(b"".join(struct.pack("<QQd", i, j, w) for j, w in row.items()))
    return sha.hexdigest()


class Lines:
    """The lines of a certificate, gzipped or not, within limits; ``number`` is the last."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as probe:
            opened: Any = gzip.open if probe.read(2) == b"\x1f\x8b" else open
        self.file, self.number, self.left = opened(path, "rb"), 0, MAX_FILE

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> Any:
        line = self.file.readline(MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.left -= len(line)
        need(len(line) <= MAX_LINE and self.left >= 0, "the line or the certificate is too long")
        return parse(line.decode())

    def expect(self, name: str, count: int) -> list[Any]:
        """Read a line that must be there, and return its arguments."""
        line: Any = next(self, [])
        need(line and line[0] == name, f"a line {name!r} is needed here")
        need(len(line) == count + 1, f"{name} needs {count} arguments")
        return list(line[1:])


# -------------------------------------------------------------- claims (sections 1 and 3)


class Claim:
    """The first line: what is claimed, and where."""

    def __init__(self, head: Any, model: Model) -> None:
        keys = {"format", "network", "claim", "output", "domain", "inputs"}
        need(isinstance(head, dict) and {*head, "inputs"} == keys, "this is no claim")
        need(head["format"] == FORMAT, f"the format is not {FORMAT}")
        if head["network"] != model_digest(model):
            raise Rejected("the certificate is about another network")
        kind, domain, n = head["claim"], head["domain"], model.inputs
        need(kind in ("convex", "concave", "nonconvex", "nonconcave"), "unknown claim")
        self.refutes, self.sign = kind.startswith("non"), -1 if kind.endswith("concave") else 1
        self.output = natural(head["output"], len(model.blocks[-1].bias))
        self.inputs = {natural(i, n) for i in head.get("inputs", range(n))}
        self.sides: list[tuple[Fraction, Fraction]] | None = None  # of a box
        self.rows: list[tuple[list[Fraction], Fraction]] = []  # a x <= b of a polyhedron
        self.equal: list[bool] = []  # whether a row is an equation
        if domain["type"] == "box":
            need(set(domain) == {"type", "lower", "upper"}, "bad box")
            lower, upper = (rationals(domain[side], n) for side in ("lower", "upper"))
            self.sides = list(zip(lower, upper, strict=True))
            need(all(a <= b for a, b in self.sides), "the box is empty")
        elif domain["type"] == "polyhedron":
            need(set(domain) == {"type", "A", "b"}, "bad polyhedron")
            limits = rationals(domain["b"], len(domain["A"]))
            self.rows = [(rationals(a, n), b) for a, b in zip(domain["A"], limits, strict=True)]
        else:
            need(domain == {"type": "everywhere"}, "unknown domain")
        some = "" if len(self.inputs) == n else f" in inputs {sorted(self.inputs)}"
        self.text = f"output {self.output} is {kind}{some}, domain {json.dumps(domain)[:300]}"

    def contains(self, x: list[Fraction]) -> bool:
        """Decide whether a point lies in the domain."""
        within = all(a <= v <= b for v, (a, b) in zip(x, self.sides or [], strict=False))
        return within and all(dot(a, x) <= b for a, b in self.rows)


def dot(a: Iterable[Any], x: Iterable[Any]) -> Fraction:
    """Return the scalar product."""
    return sum((p * q for p, q in zip(a, x, strict=True)), Fraction(0))


def add(form: Form, factor: Number, other: Form) -> None:
    """Add ``factor * other`` to a form in place; what cancels disappears."""
    for key, value in other.items() if factor else ():
        total = form.get(key, 0) + factor * value
        if total:
            form[key] = total
        else:
            form.pop(key, None)


def eliminate(equations: list[Form]) -> dict[int, Form]:
    """Solve equations ``form = 0`` for some variables, in terms of the others."""
    solved: dict[int, Form] = {}
    for equation in equations:
        form: Form = {}
        add(form, 1, equation)
        for key in solved.keys() & form.keys():
            add(form, form.pop(key), solved[key])
        if form:
            pivot = max(form)
            value = form.pop(pivot)
            solved[pivot] = {key: -v / value for key, v in form.items()}
            for other in solved.values():
                add(other, other.pop(pivot, 0), solved[pivot])
    return solved


# --------------------------------------------------- the two-slope integer form (section 4)


class Network:
    """One output as ``zeta_k = sum_h (on or off slope of h into k) * zeta_h``, in integers.

    Unit 0 is constantly 1, then come t, if lifted, and the free inputs, then the groups
    of neurons in topological order, last the output. ``low`` and ``high`` bound every
    unit on the work domain; ``extra`` are the further rows ``form >= 0`` of it.
    """

    def __init__(self, model: Model, claim: Claim, bounds: dict[Any, Any]) -> None:
        self.rows: list[Row] = []
        self.names: list[str] = []
        self.low: list[Any] = []
        self.high: list[Any] = []
        self.neurons: dict[str, Place] = {}  # z = factor * zeta_unit of every neuron
        self._units: dict[Row, int] = {(): ONE}
        self._add_inputs(model.inputs, claim)
        self.domain = Node(self, ONE)
        relus = {block.name for block in model.blocks if block.relu}
        for block in model.blocks:
            self.neurons[block.name] = []
            for i in range(len(block.bias)):
                terms = list(self._terms(block, i, relus))
                if block is not model.blocks[-1]:
                    self.neurons[block.name].append(self._unit(terms, f"{block.name}[{i}]"))
                    self.tighten(block.name, i, bounds)
                elif i == claim.output:
                    row, _ = self._primitive(terms)
        row = tuple((h, claim.sign * p, claim.sign * m) for h, p, m in row)
        self.output = self._append(row, "output")
        self.kinks: set[int] = set()  # units on which the output depends, and that may bend it
        alive = {self.output}
        for k in range(self.output, self.inputs - 1, -1):
            for h, p, m in self.rows[k] if k in alive and self.moving else ():
                alive.add(h)
                if p != m:
                    self.kinks.add(h)

    def _add_inputs(self, count: int, claim: Claim) -> None:
        """Add t, the free inputs, and those that equations or sides of zero width determine."""
        sides = None if claim.refutes else claim.sides
        self._append((), "1", 1, 1)
        self.bias_unit = self._append((), "t", 0, 1) if sides is None else ONE
        rows = list(zip(claim.rows, claim.equal, strict=False))
        solved = eliminate([{0: -b} | dict(enumerate(a, 1)) for (a, b), equal in rows if equal])
        self.places: list[Place] = [[(ONE, Fraction(0))]] * count  # sums of factor * zeta_unit
        for i, (low, high) in enumerate(sides or [(Fraction(-1), Fraction(1))] * count):
            scale = lcm(low.denominator, high.denominator)
            if low == high:
                self.places[i] = [(ONE, low)]
            elif i + 1 not in solved:
                unit = self._append((), f"input[{i}]", int(low * scale), int(high * scale))
                self.places[i] = [(unit, Fraction(1, scale))]
        self.inputs = len(self.rows)
        units = [self.bias_unit, *(place[0][0] for place in self.places)]
        self.moving = {units[i + 1] for i in claim.inputs} - {ONE}
        for key, form in solved.items():
            self.places[key - 1] = [(units[k], factor) for k, factor in form.items()]
        self.extra: list[Form] = []
        for (a, b), equal in rows:
            self.extra.append({} if equal or not b else {self.bias_unit: b})
            for place, value in zip(self.places, a, strict=True):
                for unit, factor in () if equal else place:
                    add(self.extra[-1], -value * factor, {unit: 1})

    def _terms(self, block: Block, index: int, relus: set[str]) -> Iterator[Term]:
        """Yield what a neuron reads."""
        yield *block.bias[index].as_integer_ratio(), self.bias_unit, Fraction(1), True
        for source, rows in block.edges.items():
            for j, weight in rows[index].items():
                place = self.places[j] if source == "input" else [self.neurons[source][j]]
                for unit, factor in place:
                    yield *weight.as_integer_ratio(), unit, factor, source not in relus

    def _append(self, row: Row, name: str, low: int = 0, high: int = 0) -> int:
        """Add a unit, with bounds by interval arithmetic over its row."""
        for h, p, m in row:
            a, b = self.low[h], self.high[h]
            ends = [(p if z > 0 else m) * z for z in (a, max(a, min(b, 0)), b)]
            low, high = low + min(ends), high + max(ends)
        self.rows.append(row)
        self.names.append(name)
        self.low.append(low)
        self.high.append(high)
        return len(self.rows) - 1

    def _unit(self, terms: list[Term], name: str) -> tuple[int, Fraction]:
        """Return (unit, factor) of a neuron; those with proportional rows share a unit."""
        row, content = self._primitive(terms)
        negative = tuple((h, -p, -m) for h, p, m in row)
        if negative in self._units:
            return self._units[negative], -content
        if row not in self._units:
            self._units[row] = self._append(row, name)
        return self._units[row], content

    def _primitive(self, terms: list[Term]) -> tuple[Row, Fraction]:
        """Add up top / bottom * factor * zeta_unit: coprime integers, and what multiplies them."""
        scale = lcm(*(bottom * factor.denominator for _, bottom, _, factor, _ in terms))
        total: dict[int, tuple[int, int]] = {}
        for top, bottom, unit, factor, linear in terms:
            value = top * factor.numerator * (scale // (bottom * factor.denominator))
            p, m = total.get(unit, (0, 0))
            on, off = linear or factor > 0, linear or factor < 0
            if self.low[unit] >= 0:
                off = on
            elif self.high[unit] <= 0:
                on = off
            total[unit] = (p + value if on else p, m + value if off else m)
        row = [(unit, p, m) for unit, (p, m) in sorted(total.items()) if p or m]
        content = gcd(*(slope for _, p, m in row for slope in (p, m)))
        digits = max(content, scale).bit_length()
        need(digits <= MAX_SCALE, "the network needs numbers of too many digits")
        return tuple((h, p // content, m // content) for h, p, m in row), Fraction(content, scale)

    def tighten(self, block: str, index: int, bounds: Any) -> None:
        """Apply what the certificate says about the bounds of a unit, before it is read."""
        for side, entries in bounds.get((block, index), ()):
            rule_bound(self, self.unit(block, index), side, entries)

    def unit(self, block: Any, index: Any) -> int:
        """Return the unit of a neuron."""
        need(block in self.neurons, f"no block {str(block)[:40]!r}")
        unit, _ = self.neurons[block][natural(index, len(self.neurons[block]))]
        need(unit != ONE, f"{block}[{index}] is constantly 0")
        return unit

    def along(self, point: list[Fraction], direction: Form) -> list[tuple[Fraction, Fraction]]:
        """Return (value, one-sided slope) of every unit at a point of the input units."""
        found = [(v, Fraction(direction.get(unit, 0))) for unit, v in enumerate(point)]
        for row in self.rows[self.inputs :]:
            value = slope = Fraction(0)
            for h, p, m in row:
                z, d = found[h]
                weight = p if (z or d) > 0 else m
                value, slope = value + weight * z, slope + weight * d
            found.append((value, slope))
        return found


def span(terms: Iterable[tuple[tuple[int, ...], tuple[int, int]]]) -> tuple[int, int]:
    """Return the interval of a sum of products: any of some weights, a number of an interval."""
    products = [[w * end for w in weights for end in ends] for weights, ends in terms]
    return sum(map(min, products)), sum(map(max, products))


class Node:
    """A node of the tree of a group, or the whole domain (group ONE)."""

    def __init__(self, net: Network, group: int) -> None:
        self.net, self.group = net, group
        self.fixed: dict[int, bool] = {}
        self._forms: list[Form] = [{unit: 1} for unit in range(net.inputs)]
        self.behind: dict[int, Row] = {group: ()}  # the units behind, and what reaches them
        for k in range(group + 1, len(net.rows) if group else 0):
            row = tuple(entry for entry in net.rows[k] if entry[0] in self.behind)
            if row:
                self.behind[k] = row

    def fix(self, unit: int, side: bool | None) -> None:
        """Fix or free a unit and forget what depended on it."""
        self.fixed.pop(unit, None)
        if side is not None:
            self.fixed[unit] = side
        del self._forms[unit + 1 :]

    def form(self, unit: int) -> Form:
        """Return a unit as a linear form that holds on the hyperplane of the group."""
        while len(self._forms) <= unit:
            form: Form = {}
            for h, p, m in self.net.rows[len(self._forms)]:
                side = self.fixed.get(h, p == m or None)
                if h != self.group or h == ONE:
                    add(form, p if side else m, self._forms[h])
                    add(form, p - m if side is None else 0, {-h: 1})
            self._forms.append(form)
        return self._forms[unit]

    def affine(self, unit: int) -> bool:
        """Whether a unit's form holds inputs only."""
        return min(self.form(unit), default=ONE) >= ONE

    def genuine(self, unit: int) -> bool:
        """Whether a unit cannot vanish inside a facet: affine, and no multiple of the group."""
        a, b = self.form(self.group), self.form(unit)
        if not (b and self.affine(self.group) and self.affine(unit)):
            return False
        key = min(b)
        return a.keys() != b.keys() or any(b[k] * a[key] != a[k] * b[key] for k in b)

    def jump(self) -> int:
        """Lower bound of the gradient jump over all patterns below this node."""
        spans = {self.group: (1, 1)}
        for k, row in self.behind.items():
            terms = []
            for h, p, m in row:
                slopes = (p, m) if h not in self.fixed else (p,) if self.fixed[h] else (m,)
                terms.append(((p - m,) if h == self.group else slopes, spans[h]))
            spans[k] = span(terms) if row else spans[k]
        return spans.get(self.net.output, (0, 0))[0]

    def row(self, kind: str, *where: Any) -> tuple[Form, bool]:
        """Return a row ``form >= 0`` of section 5, and whether it is strict on facets."""
        form: Form = {}
        if kind == "facet":
            need(self.group and not where, "there is no such facet")
            return self.form(self.group), False
        if kind == "domain":
            (index,) = where
            form = self.net.extra[natural(index, len(self.net.extra))]
            return form, bool(form)
        need(kind in ("sign", "above", "below"), f"unknown row {kind!r:.40}")
        unit = self.net.unit(*where)
        side, z = self.fixed.get(unit), self.form(unit)
        low, high = self.net.low[unit], self.net.high[unit]
        fits = side is not None if kind == "sign" else side is None and low < 0 < high
        if unit == self.group or not fits:
            raise Rejected(f"{kind} {where}: there is no such row here")
        if kind == "sign":
            add(form, 1 if side else -1, z)
            return form, self.genuine(unit)
        if kind == "above":
            add(form, -1, z)
            add(form, 1, {-unit: 1})
        else:
            add(form, high, z)
            add(form, -1, {-unit: high - low, ONE: high * low})
        return form, False

    def combine(self, entries: Any) -> tuple[Form, bool]:
        """Add up multiples of rows; say whether the sum is strict on facets."""
        need(isinstance(entries, list), "the multipliers must be a list")
        total: Form = {}
        strict = False
        multipliers = rationals([entry[-1] for entry in entries], len(entries))
        for (*words, _), y in zip(entries, multipliers, strict=True):
            form, sharp = self.row(*words)
            if y <= 0 and words != ["facet"]:
                raise Rejected(f"the multiplier of {words} is not positive")
            add(total, y, form)
            strict = strict or sharp
        return total, strict

    def largest(self, form: Form) -> Number:
        """Upper bound of a form over the ranges of its variables."""
        bound: Number = 0
        for key, value in form.items():
            low, high = self.net.low[abs(key)], self.net.high[abs(key)]
            low, high = (low, high) if key >= 0 else (max(low, 0), max(high, 0))
            bound += value * (high if value > 0 else low)
        return bound


# --------------------------------------- rules (section 5): they raise, or what they say holds


def rule_pair(model: Model, claim: Claim, x: list[Fraction], y: list[Fraction]) -> None:
    """Two points of the domain whose midpoint lies above the chord, exactly."""
    if not (claim.contains(x) and claim.contains(y)):
        raise Rejected("a point lies outside the domain")
    if any(a != b for i, (a, b) in enumerate(zip(x, y, strict=True)) if i not in claim.inputs):
        raise Rejected("the points differ in an input that the claim keeps fixed")
    net = Network(model, claim, {})  # evaluated at t = 1
    middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
    fx, fy, fm = (net.along([Fraction(1)] * 2 + point, {})[-1][0] for point in (x, y, middle))
    if not 2 * fm > fx + fy:
        raise Rejected("the pair does not violate midpoint convexity")


def rule_interior(claim: Claim, x: list[Fraction], y: list[Fraction]) -> None:
    """Find a point strictly inside all rows but those that are shown to be equations.

    If multipliers >= 0 of the slacks b - a x >= 0 add up to 0, those that they use are 0.
    """
    total: Form = {}
    for (a, b), v in zip(claim.rows, y, strict=True):
        add(total, v, dict(enumerate([b, *a])))
    if total or any(v < 0 for v in y):
        raise Rejected("the multipliers do not show that rows are equations")
    claim.equal = [v > 0 for v in y]
    need(not any(y) or len(claim.inputs) == len(x), "a partial claim needs a domain with interior")
    for (a, b), equal in zip(claim.rows, claim.equal, strict=True):
        slack = b - dot(a, x)
        if slack < 0 or (slack == 0 and any(a) and not equal):
            raise Rejected("the point does not lie inside the polyhedron")


def rule_bound(net: Network, unit: int, side: Any, entries: Any) -> None:
    """Tighten a bound by multipliers of rows that hold on the whole domain."""
    need(side in ("lower", "upper"), "the side must be lower or upper")
    sign = 1 if side == "upper" else -1
    total, _ = net.domain.combine(entries)
    add(total, sign, net.domain.form(unit))
    limit = ceil(net.domain.largest(total))
    if side == "upper":
        net.high[unit] = min(net.high[unit], limit)
    else:
        net.low[unit] = max(net.low[unit], -limit)


def rule_path_signs(net: Network) -> set[int]:
    """One backward sweep: the groups whose gradient jump is non-negative in any pattern."""
    readers: list[Any] = [[] for _ in net.rows]
    for k, row in enumerate(net.rows):
        for h, p, m in row:
            readers[h].append((k, p, m))
    spans = {net.output: (1, 1)}  # of the output's slope per unit of zeta
    proved = set()
    for h in range(net.output - 1, net.inputs - 1, -1):
        on = span(((p,), spans[k]) for k, p, _ in readers[h])
        off = span(((m,), spans[k]) for k, _, m in readers[h])
        jump, _ = span(((p - m,), spans[k]) for k, p, m in readers[h])
        if jump >= 0:
            proved.add(h)
        spans[h] = min(on[0], off[0]), max(on[1], off[1])
    return proved


def rule_sign(node: Node) -> None:
    """No pattern below this node bends the function downwards."""
    if node.jump() < 0:
        raise Rejected("the gradient jump may be negative")


def rule_empty(node: Node, entries: Any) -> None:
    """No facet of the group lies below this node.

    Its hyperplane does not cut the claimed inputs, or a combination of rows that are
    valid on facets is negative.
    """
    if node.affine(node.group) and not node.net.moving & node.form(node.group).keys():
        return
    total, strict = node.combine(entries)
    bound, (low, high) = node.largest(total), (node.net.low, node.net.high)
    free = any(k >= 0 and low[k] < high[k] for k in total)
    if bound > 0 or (bound == 0 and not (strict or free)):
        raise Rejected("the combination is no contradiction")


def rule_smooth(node: Node, point: Any) -> None:
    """At an exact point inside the facet, the true function bends upwards."""
    net, x = node.net, rationals(point, node.net.inputs - 1)
    normal = {k: v for k, v in node.form(node.group).items() if k in net.moving}
    ahead = net.along([Fraction(1), *x], normal)
    back = net.along([Fraction(1), *x], {k: -v for k, v in normal.items()})
    z = [value for value, _ in ahead]
    inside = all(net.low[unit] < v < net.high[unit] for unit, v in enumerate(x, 1))
    inside = inside and all(sum(c * z[k] for k, c in row.items()) > 0 for row in net.extra if row)
    if not (inside and z[node.group] == 0):
        raise Rejected("the point is not inside the domain and on the hyperplane")
    for unit in net.kinks - {node.group}:
        side = node.fixed.get(unit)
        if side is None or not node.affine(unit):
            raise Rejected(f"{net.names[unit]} is still open")
        if (z[unit] > 0) != side if z[unit] else node.genuine(unit):
            raise Rejected(f"the point is not inside the facet of {net.names[unit]}")
    if not normal or not node.affine(node.group) or ahead[-1][1] + back[-1][1] < 0:
        raise Rejected("the function does not bend upwards at this point")


def rule_tree(net: Network, lines: Iterable[Any], block: Any, index: Any) -> int:
    """Read the tree of one group in preorder, on-child first; return the group."""
    group = net.unit(block, index)
    node = Node(net, group)
    leaves: dict[str, Any] = {"sign": rule_sign, "empty": rule_empty, "smooth": rule_smooth}
    path: list[int] = []  # the units fixed above the node
    for name, *arguments in lines:
        if name == "branch":
            unit = net.unit(*arguments)
            if unit == group or unit in node.fixed:
                raise Rejected(f"{net.names[unit]} is already decided")
            path.append(unit)
            node.fix(unit, True)
            continue
        need(name in leaves, f"unknown leaf {name!r:.40}")
        leaves[name](node, *arguments)
        while path and not node.fixed[path[-1]]:
            node.fix(path.pop(), None)
        if not path:
            return group
        node.fix(path[-1], False)
    raise Rejected(f"the tree of {net.names[group]} is not finished")


def check(model: Model, lines: Lines) -> str:
    """Check all lines and return what is proved."""
    claim, n = Claim(next(lines, None), model), model.inputs
    if claim.refutes:
        x, y = lines.expect("pair", 2)
        rule_pair(model, claim, rationals(x, n), rationals(y, n))
        need(next(lines, None) is None, "nothing may follow the pair")
        return claim.text
    if claim.rows:
        x, y = lines.expect("interior", 2)
        rule_interior(claim, rationals(x, n), rationals(y, len(claim.rows)))
    bounds: dict[Any, list[Any]] = {}
    for block, index, *bound in lines.expect("bounds", 1)[0]:
        bounds.setdefault((block, index), []).append(bound)
    net = Network(model, claim, bounds)
    proved: set[int] = set()
    for name, *arguments in lines:
        if name == "path_signs":
            proved |= rule_path_signs(net, *arguments)
        elif name == "tree":
            proved.add(rule_tree(net, lines, *arguments))
        else:
            raise Malformed(f"unknown rule {name!r:.40}")
    if net.kinks - proved:
        raise Rejected(f"nothing is proved about {net.names[min(net.kinks - proved)]}")
    return claim.text


def main(argv: list[str] | None = None) -> int:
    """Check one certificate and print the answer; the exit code says it, too."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 2:
        sys.stderr.write("usage: checker.py MODEL CERTIFICATE\n")
        return 2
    place, lines = arguments[0], None
    try:
        model = read_model(arguments[0])
        place = arguments[1]
        lines = Lines(place)
        answer, code = f"accepted: {check(model, lines)}", 0
    except Rejected as error:
        answer, code = f"rejected: line {lines.number if lines else 0}: {error}", 1
    except Exception as error:  # no file may end in a traceback
        at = f" line {lines.number}" if lines else ""
        what = str(error) if isinstance(error, Malformed) else f"{type(error).__name__} {error}"
        what = getattr(error, "strerror", None) or what
        answer, code = f"malformed: {place}{at}: {what[:200]}", 2
    sys.stdout.write(answer + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
