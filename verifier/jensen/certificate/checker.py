"""Check a ``jensen-certificate/3`` against a model: standard library and exact numbers only.

Run as ``python checker.py MODEL.json CERTIFICATE``. Exit code 0: accepted, the claim is
proved; 1: rejected, with the first wrong line; 2: the model or the certificate is malformed.
The format, and the proof that an accepted claim is true, are in docs/FORMAT.md, to which
the section numbers refer. This file shares no code with the prover, on purpose.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil, gcd, isfinite, lcm
from typing import Any, NamedTuple

FORMAT, MODEL_FORMAT = "jensen-certificate/3", "jensen-export/2"
QUADRATIC_FORMAT = "jensen-export/3"  # a model of which quadratic functions are a part
FORMATS = FORMAT, "jensen-certificate/2"  # the older one is a part of the newer one
MAX_MODEL, MAX_LINE, MAX_FILE = 1 << 28, 1 << 24, 1 << 30  # bytes, a certificate's unpacked
MAX_INPUTS, MAX_NUMBER, MAX_SCALE = 1 << 20, 200_000, 1 << 17  # characters; bits to scale with
MAX_WORK, STEP = 1 << 40, 256  # of `spend`: about an hour; what a small product costs
MAX_TEXT = 300  # characters of the domain, and of the inputs, that are printed
INTEGER = "(0|[1-9][0-9]*|0x[0-9a-f]+)"
NUMBER = re.compile(f"-?{INTEGER}(/{INTEGER})?")
ONE = 0  # the unit that is constantly 1
FINE = 1 << 20  # by which a form is multiplied, so that slopes of lines can be integers

WORK = [0]  # what was spent
Form = dict[int, Any]  # linear form; key u: zeta of the unit u, key -u: max(zeta_u, 0)
Values = dict[str, list[Form]]  # by block
Quadratic = list[tuple[int, int, Fraction]]  # i, j and q: q x_i x_j, where 0 stands for 1


class Malformed(Exception):  # noqa: N818  (it is an answer, like Rejected)
    """The file is not of the documented format; as is any file that raises another error."""


class Rejected(Exception):  # noqa: N818
    """A step does not follow."""


class Block(NamedTuple):
    """A block of the model; its weights are, per source, rows ``{column: weight}``."""

    name: str
    relu: bool
    bias: list[float]
    weights: dict[str, list[dict[int, float]]]


class Model(NamedTuple):
    """A network exactly as stored; the digest is that of the file."""

    digest: str
    inputs: int
    blocks: list[Block]
    quadratic: tuple[Quadratic, ...] = ()  # per output, if there are any

    def curved(self, output: int) -> Quadratic:
        """Return the quadratic function that is a part of an output."""
        return self.quadratic[output] if self.quadratic else []


class Unit:
    """A group of neurons: zeta as a form of earlier units, and its bounds."""

    def __init__(self, name: str, form: Form, low: int, high: int) -> None:
        self.name, self.form, self.low, self.high = name, form, low, high
        # asked for again and again: the units that it reads, and the bits of its integers
        self.reads, self.bits = {abs(key) for key in form}, bits_of(form)


# --------------------------------------------------------------------- reading (section 2)


def need(condition: object, message: str) -> None:
    """Raise :class:`Malformed` unless the condition holds."""
    if not condition:
        raise Malformed(message)


def hold(condition: object, message: str) -> None:
    """Raise :class:`Rejected` unless the condition holds."""
    if not condition:
        raise Rejected(message)


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object without repeated keys."""
    need(len(dict(pairs)) == len(pairs), "a key is repeated")
    return dict(pairs)


def digest(domain: Any) -> str:
    """Return the hash of a domain in canonical numbers (section 1)."""
    return hashlib.sha256(json.dumps(domain, separators=(",", ":")).encode()).hexdigest()


def only(record: Any, *keys: str) -> Any:
    """Return an object that has these keys, and no other ones."""
    need(isinstance(record, dict) and record.keys() == {*keys}, f"the keys are not {keys}")
    return record


def natural(value: Any, limit: int) -> int:
    """Return an integer in ``range(limit)``."""
    need(type(value) is int and 0 <= value < limit, f"{str(value)[:20]} is no index < {limit}")
    return int(value)


def double(text: Any) -> float:
    """Read a finite double, written as ``float.hex`` writes it."""
    number = float.fromhex(text)
    need(isfinite(number) and number.hex() == text, f"{text[:40]!r} is no hexadecimal double")
    return number


def rationals(items: Any, count: int) -> list[Fraction]:
    """Read a list of so many numbers like "-3", "2/7" or "-0x1f/0x2b"."""
    need(isinstance(items, list) and len(items) == count, f"a list of {count} numbers is needed")
    for text in items:
        need(isinstance(text, str) and len(text) <= MAX_NUMBER, "no string, or too long a one")
        need(NUMBER.fullmatch(text), f"{text[:40]!r} is no exact number")
    numbers = [Fraction(*(int(part, 0) for part in text.split("/"))) for text in items]
    scale = 1
    for number in numbers:
        spend(1, size(number) ** 2 + scale.bit_length() * size(number))
        scale = lcm(scale, number.denominator)
        need(scale.bit_length() <= MAX_SCALE, "the numbers have too many digits")
    return numbers


def text_of(value: Fraction | int) -> str:
    """Write a number in lowest terms, in hexadecimal beyond 64 bits."""
    top, bottom = value.numerator, value.denominator
    style = "d" if max(abs(top), bottom) < 1 << 64 else "#x"
    return format(top, style) + ("" if bottom == 1 else f"/{bottom:{style}}")


def shown(record: Any) -> str:
    """Return a record as JSON, and how long it is where the end is left out."""
    text = json.dumps(record)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"


def read_row(row: Any, width: int) -> dict[int, float]:
    """Read ``[column, weight, column, weight, ...]``."""
    columns = row[::2]
    need(all(type(column) is int for column in columns), "a column must be an integer")
    need([-1, *columns, width] == sorted({-1, *columns, width}), "the columns must increase")
    return dict(zip(columns, map(double, row[1::2]), strict=True))


def read_terms(terms: Any, count: int) -> Quadratic:
    """Read ``[[i, j, factor], ...]``."""
    factors = rationals([factor for _, _, factor in terms], len(terms))
    places = [(natural(i, count), natural(j, count)) for i, j, _ in terms]
    return [(*place, factor) for place, factor in zip(places, factors, strict=True)]


def read_model(raw: bytes) -> Model:
    """Read a network as ``jensen export`` writes it."""
    need(raw[:1] == b"{", "the model must be the JSON file that `jensen export` writes")
    need(len(raw) <= MAX_MODEL, "the file is too large")
    head = json.loads(raw.decode(), object_pairs_hook=distinct)
    plain = head.get("format") != QUADRATIC_FORMAT
    only(head, "format", "inputs", "blocks", *(() if plain else ("quadratic",)))
    need(head["format"] == MODEL_FORMAT or not plain, f"the format is not {MODEL_FORMAT}")
    sizes = {"input": natural(head["inputs"], MAX_INPUTS)}
    terms = [] if plain else head["quadratic"]
    forms = tuple(read_terms(part, sizes["input"] + 1) for part in terms)
    model = Model(hashlib.sha256(raw).hexdigest(), sizes["input"], [], forms)
    for entry in head["blocks"]:
        only(entry, "name", "relu", "bias", "weights")
        name, relu, bias = entry["name"], entry["relu"], [double(b) for b in entry["bias"]]
        need(isinstance(name, str) and name not in sizes, f"block {name!r} is repeated")
        need(isinstance(relu, bool) and bias, f"{name}: relu and bias are needed")
        weights = {}
        for source, rows in entry["weights"].items():
            need(len(rows) == len(bias), f"{name}: {len(rows)} rows, {len(bias)} biases")
            weights[source] = [read_row(row, sizes[source]) for row in rows]
        sizes[name] = len(bias)
        model.blocks.append(Block(name, relu, bias, weights))
    need(model.blocks[-1].name == "output" and not model.blocks[-1].relu, "no affine output")
    need(plain or len(forms) == sizes["output"], "a quadratic function per output is needed")
    return model


class Lines:
    """The lines of a certificate, gzipped or not, within limits; ``number`` is the last."""

    def __init__(self, path: str) -> None:
        self.path, self.number = path, 0

    def __iter__(self) -> Iterator[Any]:
        with open(self.path, "rb") as probe:
            opened: Any = gzip.open if probe.read(2) == b"\x1f\x8b" else open
        left = MAX_FILE
        with opened(self.path, "rb") as file:
            while line := file.readline(MAX_LINE + 1):
                self.number, left = self.number + 1, left - len(line)
                need(len(line) <= MAX_LINE and left >= 0, "the line or the file is too long")
                record = json.loads(line.decode(), object_pairs_hook=distinct)
                need(isinstance(record, list if self.number > 1 else dict), "no claim, or no rule")
                yield record


def expect(lines: Iterator[Any], wanted: str) -> list[Any]:
    """Read a line that must be there, and return its arguments."""
    name, *arguments = next(lines, [None])
    need(name == wanted, f"a line {wanted!r} is needed here")
    return arguments


# --------------------------------------------------------------------------------- forms


def spend(count: int, bits: int = 0) -> None:
    """Count products: how many, and the sum over them of the product of their bits."""
    WORK[0] += count * STEP + bits // 1024
    need(WORK[0] <= MAX_WORK, "the work is more than anybody should be asked for")


def bits_of(form: Form) -> int:
    """Return how many bits the integers of a form have together."""
    return sum(map(int.bit_length, form.values()))


def charge(factor: int, form: Form, bits: int = -1) -> None:
    """Count the products of an integer and the integers of a form."""
    own, others = int.bit_length(factor), bits_of(form) if bits < 0 else bits
    spend(len(form), own * others + 64 * (len(form) * own + others))


def size(value: Any) -> int:
    """Return how many bits a number has."""
    return int(value.numerator.bit_length() + value.denominator.bit_length())


def add(form: Form, factor: Any, other: Form, bits: int = -1) -> None:
    """Add ``factor * other`` to a form in place; what cancels disappears."""
    if not factor:
        return
    try:
        charge(factor, other, bits)
    except TypeError:  # fractions: their sums need common divisors
        for key, value in other.items():
            three = factor, value, form.get(key, 0)
            tops = sum([v.numerator.bit_length() for v in three])
            bottoms = sum([v.denominator.bit_length() for v in three])
            spend(40, (16 * tops + bottoms) * bottoms)
    for key, value in other.items():
        total = form.get(key, 0) + factor * value
        if total:
            form[key] = total
        else:
            form.pop(key, None)


def combination(factors: Iterable[Any], forms: Iterable[Form]) -> Form:
    """Return the sum of multiples of forms."""
    total: Form = {}
    for factor, form in zip(factors, forms, strict=True):
        add(total, factor, form)
    return total


def substitute(form: Form, values: list[Form]) -> Form:
    """Put forms in the place of the keys."""
    return combination(form.values(), [values[key] for key in form])


def primitive(form: Form) -> tuple[Form, Fraction]:
    """Return coprime integers, and the positive number that multiplies them."""
    spend(len(form), max(map(size, form.values()), default=0) ** 2)
    scale = lcm(*(value.denominator for value in form.values()))
    content = gcd(*(value.numerator for value in form.values()))
    need(max(content, scale).bit_length() <= MAX_SCALE, "the forms need too many digits")
    integers = {key: v.numerator * (scale // v.denominator) // content for key, v in form.items()}
    return integers, Fraction(content, scale)


def multiple(form: Form, normal: Form) -> Fraction | None:
    """Return c with form = c * normal, if there is one."""
    key = min(normal)
    c = Fraction(form.get(key, 0)) / normal[key]
    return c if form == combination([c], [normal]) else None


# -------------------------------------------------------------- claims (sections 1 and 3)


class Claim:
    """The first line: what is claimed, and where."""

    def __init__(self, head: Any, model: Model) -> None:
        keys = {"format", "model", "claim", "output", "domain", "inputs"}
        need({*head, "inputs"} == keys, "this is no claim")
        need(head["format"] in FORMATS, f"the format is not {FORMAT}")
        hold(head["model"] == model.digest, "the certificate is about another model")
        kind, domain, n = head["claim"], head["domain"], model.inputs
        need(kind in ("convex", "concave", "nonconvex", "nonconcave"), "unknown claim")
        self.refutes, self.sign = kind.startswith("non"), -1 if kind.endswith("concave") else 1
        self.kind, self.output = kind, natural(head["output"], len(model.blocks[-1].bias))
        inputs = head.get("inputs", list(range(n)))
        need(inputs and isinstance(inputs, list), "the inputs of the claim must be a list")
        self.inputs = [natural(i, n) for i in inputs]
        need(inputs == sorted({*inputs}), "the inputs of the claim must increase")
        # ranges of t and the inputs on the work domain; b t - a x >= 0 of a polyhedron, with
        # key 0 for t and i + 1 for input i; the inputs that equations determine, by key
        self.ranges: list[tuple[Any, Any]] = [(0, 1), *[(-1, 1)] * n]
        self.rows: list[Form] = []
        self.solved: dict[int, Form] = {}
        others = {"box": {"lower", "upper"}, "polyhedron": {"A", "b"}, "everywhere": set[str]()}
        need(others.get(domain["type"]) == domain.keys() - {"type"}, "unknown domain")
        self.domain: dict[str, Any] = {"type": domain["type"]}  # in canonical numbers
        if domain["type"] == "box":
            lower, upper = (rationals(domain[side], n) for side in ("lower", "upper"))
            self.ranges = [(1, 1), *zip(lower, upper, strict=True)]
            need(all(low <= high for low, high in self.ranges), "the box is empty")
            self.domain |= {"lower": [*map(text_of, lower)], "upper": [*map(text_of, upper)]}
        elif domain["type"] == "polyhedron":
            A = [rationals(row, n) for row in domain["A"]]
            b = rationals(domain["b"], len(A))
            self.rows = [dict(enumerate([c, *(-v for v in a)])) for a, c in zip(A, b, strict=True)]
            self.domain |= {"A": [[*map(text_of, a)] for a in A], "b": [*map(text_of, b)]}

    def __str__(self) -> str:
        partial = len(self.inputs) < len(self.ranges) - 1
        some = f" in inputs {shown(self.inputs)}" if partial else ""
        where = f"domain {shown(self.domain)}, SHA-256 {digest(self.domain)}"
        return f"output {self.output} is {self.kind}{some}, {where}"

    def contains(self, x: list[Fraction]) -> bool:
        """Decide whether a point lies in the domain."""
        point = [Fraction(1), *x]
        sides = zip(point, self.ranges, strict=True) if self.ranges[0] == (1, 1) else ()
        slacks = [sum(v * point[key] for key, v in row.items()) for row in self.rows]
        return all(low <= v <= high for v, (low, high) in sides) and all(v >= 0 for v in slacks)


# ------------------------------------------------------------------- groups (section 4)


def pre_activation(block: Block, index: int, one: Form, values: Values) -> Form:
    """Return what a neuron computes from the values of what it reads."""
    z: Form = {}
    add(z, Fraction(block.bias[index]), one)
    for source, rows in block.weights.items():
        for j, weight in rows[index].items():
            add(z, Fraction(weight), values[source][j])
    return z


class Network:
    """The claimed output and the groups in front of it, as integer forms on the work domain.

    Unit 0 is constantly 1. Then come t, if lifted, the free inputs, and the groups of
    neurons in topological order, last the output. ``rows`` are those of a polyhedron,
    ``moving`` the inputs of the claim, ``kinks`` the units that may bend the output.
    """

    def __init__(self, model: Model, claim: Claim, bounds: dict[Any, Any]) -> None:
        self.units = [Unit("1", {}, 1, 1)]
        self.neurons: dict[tuple[Any, ...], tuple[int, Fraction]] = {}  # z = factor * zeta_unit
        self._known: dict[frozenset[Any], int] = {}
        self._bounds = bounds
        self.t, *inputs = self._inputs(claim)
        self.inputs = len(self.units)
        # of the cube around the origin, by unit and side; unit 1 is t, which is not negative
        cube = range(1, self.inputs) if claim.ranges[0] == (0, 1) else ()
        self.faces = {*cube, *(-unit for unit in cube if unit > 1)}
        values = {"input": inputs}
        *hidden, last = model.blocks
        for block in hidden:
            values[block.name] = [self._neuron(block, i, values) for i in range(len(block.bias))]
        need(not self._bounds, "there are bounds of what is not the first neuron of a group")
        zeta, _ = primitive(pre_activation(last, claim.output, self.t, values))
        self.output = len(self.units)
        self.units.append(Unit("output", combination([claim.sign], [zeta]), 0, 0))
        self.slopes = self._slopes()
        self.kinks = {-key for key, slope in self.slopes.items() if key < 0 and any(slope)}

    def _inputs(self, claim: Claim) -> list[Form]:
        """Add t and the inputs that are free; return t and all inputs as forms of them."""
        values: list[Form] = []
        for key, (low, high) in enumerate(claim.ranges):
            free = low < high and key not in claim.solved
            scale = lcm(low.denominator, high.denominator)
            values.append({len(self.units): Fraction(1, scale)} if free else {ONE: low})
            if free:
                self.units.append(Unit("input", {}, int(low * scale), int(high * scale)))
        self.moving = {unit for i in claim.inputs for unit in values[i + 1]} - {ONE}
        for key, form in claim.solved.items():
            values[key] = substitute(form, values)
        self.rows = [primitive(substitute(row, values)) for row in claim.rows]
        return values

    def _neuron(self, block: Block, index: int, values: Values) -> Form:
        """Return z or max(z, 0); neurons with proportional z share a unit."""
        zeta, factor = primitive(pre_activation(block, index, self.t, values))
        key, opposite = (frozenset((k, sign * v) for k, v in zeta.items()) for sign in (1, -1))
        if opposite in self._known:
            key, factor = opposite, -factor
        elif key not in self._known:
            lower, upper = self.multipliers(block.name, index, zeta)
            node = Node(self, ONE, {})
            low, high = -rule_bound(node, zeta, -1, lower), rule_bound(node, zeta, 1, upper)
            self._known[key] = len(self.units)
            self.units.append(Unit(f"{block.name}[{index}]", zeta, low, high))
        unit = self._known[key]
        self.neurons[block.name, index] = unit, factor
        if not block.relu:
            return {unit: factor}
        low, high = self.units[unit].low, self.units[unit].high
        positive: Form = {} if high <= 0 else {unit if low >= 0 else -unit: 1}
        # max(c zeta, 0) = |c| max(zeta, 0) + min(c, 0) zeta
        return combination([abs(factor), min(factor, 0)], [positive, {unit: 1}])

    def multipliers(self, block: str, index: int, _zeta: Form) -> Any:
        """Return what the certificate says about the bounds of a new unit: lower, upper."""
        return self._bounds.pop((block, index), (None, None))

    def unit(self, *name: Any) -> int:
        """Return the unit of a neuron, named by block and index."""
        need(type(name[-1]) is int and name in self.neurons, f"there is no neuron {name!s:.60}")
        return self.neurons[name][0]

    def largest(self, form: Form) -> int:
        """Return an upper bound of a form on the work domain."""
        return Node(self, ONE, {}).largest(form)

    def _slopes(self) -> dict[int, tuple[int, int]]:
        """Return intervals of the slope of the output over every key, whatever the pattern."""
        slopes = {self.output: (1, 1)} if self.moving else {}
        for k in range(self.output, self.inputs - 1, -1):
            (low, high), jump = slopes.get(k, (0, 0)), slopes.get(-k, (0, 0))
            low, high = low + min(jump[0], 0), high + max(jump[1], 0)
            charge(max(-low, high), self.units[k].form, self.units[k].bits)
            for key, factor in self.units[k].form.items() if low or high else ():
                (a, b), ends = slopes.get(key, (0, 0)), (factor * low, factor * high)
                slopes[key] = a + min(ends), b + max(ends)
        return slopes


class Node:
    """A node of the tree of a group, or the whole work domain (group ONE)."""

    def __init__(self, net: Network, group: int, fixed: dict[int, bool]) -> None:
        # what is on or off; among it the group: max(zeta, 0) is 0 on its hyperplane
        self.net, self.group, self.fixed = net, group, fixed
        self.local: dict[int, tuple[int, int]] = {}  # bounds that hold on the hyperplane
        self.face = 0
        self.spans: dict[int, tuple[int, int]] = {}  # of slopes over max(zeta, 0) of the group
        self.jumps: dict[int, Form] = {}  # the same as forms of states and products

    def bounds(self, k: int) -> tuple[int, int]:
        """Return the range of a unit, of a state (0 or 1), or of a product of state and slope."""
        count = len(self.net.units)
        if k < count:
            return self.local.get(k) or (self.net.units[k].low, self.net.units[k].high)
        low, high = (0, 1) if k < 2 * count else self.spans.get(k - 2 * count, (0, 0))
        return min(low, 0), max(high, 0)

    def largest(self, form: Form) -> int:
        """Return an upper bound of a form: over the ranges of its variables, each by itself."""
        bound: int = form.get(ONE, 0)
        ranges = {k: self.bounds(k) for k in {abs(key) for key in form} - {ONE}}
        charge(max([max(-low, high) for low, high in ranges.values()], default=1), form)
        for k, (low, high) in ranges.items():
            ends = (low, 0, high) if low < 0 < high else (low, high)
            bound += max([form.get(k, 0) * z + form.get(-k, 0) * max(z, 0) for z in ends])
        need(bound.bit_length() <= MAX_SCALE, "the bounds need too many digits")
        return bound

    def line(self, form: Form) -> Form:
        """Return a form of the inputs that is nowhere less: lines replace max(zeta, 0)."""
        form = dict(form)
        spend(len(self.net.units))
        for h in range(max(map(abs, form), default=0), self.net.inputs - 1, -1):
            kink = form.pop(-h, 0)
            slope = kink * self.fixed.get(h, False)
            if kink and h not in self.fixed:
                low, high = self.bounds(h)
                # from below 0 or zeta will do; from above any line over both ends
                slope = kink * high // max(high - low, 1) if kink > 0 else kink * (high > -low)
                add(form, max(-slope * low, (kink - slope) * high) if kink > 0 else 0, {ONE: 1})
            if slope or h in form:
                add(form, form.pop(h, 0) + slope, self.net.units[h].form, self.net.units[h].bits)
        return form

    def narrow(self, unit: int, lower: Any, upper: Any) -> None:
        """Bound a unit on the hyperplane; what is not 0 there is on, or off, at every facet."""
        hold(unit not in self.fixed, f"{self.net.units[unit].name} is already decided")
        low, high = self.bounds(unit)
        high = min(high, rule_bound(self, {unit: 1}, 1, upper))
        low = max(low, -rule_bound(self, {unit: 1}, -1, lower))
        self.local[unit] = low, high
        if low > 0 or high < 0:
            self.fixed[unit] = low > 0

    def bend(self) -> bool:
        """Compute how slopes behind the group depend on open states; whether by products."""
        count, self.jumps, products = len(self.net.units), {}, False
        passed: dict[int, Form] = {self.group: {ONE: 1}}  # over max(zeta, 0)
        for k in range(self.group + 1, self.net.output + 1):
            slope: Form = {}
            spend(len(self.net.units[k].form))
            for key, factor in self.net.units[k].form.items():
                behind = (passed if key < 0 else self.jumps).get(abs(key))
                if behind:
                    add(slope, factor, behind)
            self.jumps[k], open_ = slope, k not in self.fixed
            passed[k] = slope if self.fixed.get(k) else {}
            if open_ and slope:
                constant = slope.keys() == {ONE}
                passed[k] = {count + k: slope[ONE]} if constant else {2 * count + k: 1}
                products = products or not constant
        return products

    def expand(self, form: Form) -> Form:
        """Write a form in the inputs, and in max(zeta_h, 0) of units that are not fixed."""
        form = dict(form)
        spend(len(self.net.units))
        for h in range(max(map(abs, form), default=0), self.net.inputs - 1, -1):
            # max(zeta_h, 0) is zeta_h where h is on, and 0 where it is off
            kink = form.pop(-h, 0) * self.fixed[h] if h in self.fixed else 0
            if kink or h in form:
                add(form, form.pop(h, 0) + kink, self.net.units[h].form, self.net.units[h].bits)
        return form

    def genuine(self, unit: int) -> bool:
        """Whether a unit cannot vanish inside a facet: affine, and no multiple of the group."""
        group, form = self.expand({self.group: 1}), self.expand({unit: 1})
        return bool(group) and min([*group, *form]) >= ONE and multiple(form, group) is None

    def row(self, kind: Any, *where: Any) -> tuple[Form, Any, bool]:
        """Return a row ``factor * form >= 0`` of section 5, and whether it is strict on facets."""
        if kind == "facet" and self.group and not where:
            return {self.group: 1}, 1, False
        if kind == "domain":
            (index,) = where
            form, factor = self.net.rows[natural(index, len(self.net.rows))]
            return form, factor, bool(form)
        if kind == "jump" and self.group and not where:
            return combination([-1, -1], [self.jumps[self.net.output], {ONE: 1}]), 1, False
        number = natural(where[-1], 4) if kind == "product" else 0
        unit = self.net.unit(*(where[:-1] if kind == "product" else where))
        if kind == "sign":
            hold(unit in self.fixed, f"{where} is neither on nor off here")
            return {unit: 1 if self.fixed[unit] else -1}, 1, self.genuine(unit)
        (low, high), slope = self.bounds(unit), self.jumps.get(unit, {})
        least, most = self.spans.get(unit, (0, 0))
        state, product = (len(self.net.units) * i + unit for i in (1, 2))
        forms: dict[Any, Form] = {
            "above": {-unit: 1, unit: -1},
            "below": {unit: high, -unit: low - high, ONE: -high * low},
            "on": {state: high, -unit: -1},
            "off": {unit: 1, -unit: -1, ONE: -low, state: low},
            # number: product <= most state, >= least state, <= slope - least (1 - state), ...
            "product": [
                {state: most, product: -1},
                {state: -least, product: 1},
                combination([1, 1], [slope, {ONE: -least, state: least, product: -1}]),
                combination([-1, 1], [slope, {ONE: most, state: -most, product: 1}]),
            ][number],
        }
        need(kind in forms, f"there is no row {kind!r:.40}")
        hold(kind != "below" or low < 0 < high, f"{where} does not change its sign")
        free = unit not in self.fixed and low <= 0 <= high
        hold(kind in ("above", "below") or free, f"{where} has no open state here")
        return forms[kind], 1, False

    def combine(self, entries: Any, form: Form) -> tuple[Form, Fraction, bool]:
        """Add multiples of rows to a form; return the sum, its factor, whether it is strict."""
        need(isinstance(entries, list), "the multipliers must be a list")
        factors = rationals([entry[-1] for entry in entries], len(entries))
        kinds = {kind for kind, *_ in entries}
        if {"jump", "product"} & kinds:
            self.spans = spans(self) if self.bend() or "product" in kinds else {}
        rows = [self.row(*words) for *words, _ in entries]
        for (kind, *_), factor in zip(entries, factors, strict=True):
            hold(factor > 0 or kind == "facet", f"a multiplier of {kind} is not positive")
        # integers are added faster, and what they cost is known
        factors = [y * factor for y, (_, factor, _) in zip(factors, rows, strict=True)]
        scale = lcm(*(y.denominator for y in factors))
        need(scale.bit_length() <= MAX_SCALE, "the numbers have too many digits")
        integers = [y.numerator * (scale // y.denominator) for y in factors]
        total, content = primitive(
            combination([scale, *integers], [form, *(row[0] for row in rows)])
        )
        states = {key: total.pop(key) for key in [*total] if key >= len(self.net.units)}
        return self.expand(total) | states, content / scale, any(strict for *_, strict in rows)


# --------------------------------------- rules (section 5): they raise, or what they say holds


def evaluate(model: Model, output: int, x: list[Fraction]) -> Fraction:
    """Return an output of the network at a point."""
    values: Values = {"input": [{ONE: v} for v in x]}
    for block in model.blocks:
        outputs = [pre_activation(block, i, {ONE: 1}, values) for i in range(len(block.bias))]
        need(all(size(v) <= MAX_SCALE for z in outputs for v in z.values()), "too many digits")
        kept = ({k: v for k, v in z.items() if v > 0 or not block.relu} for z in outputs)
        values[block.name] = list(kept)
    terms, point = model.curved(output), [Fraction(1), *x]
    spend(40 * len(terms), sum([size(q) * size(point[i]) * size(point[j]) for i, j, q in terms]))
    curved = sum(q * point[i] * point[j] for i, j, q in terms)
    return Fraction(values["output"][output].get(ONE, 0)) + curved


def rule_pair(model: Model, claim: Claim, x: list[Fraction], y: list[Fraction]) -> None:
    """Two points of the domain whose midpoint lies above the chord, exactly."""
    hold(claim.contains(x) and claim.contains(y), "a point lies outside the domain")
    moved = {i for i, (a, b) in enumerate(zip(x, y, strict=True)) if a != b}
    hold(moved <= {*claim.inputs}, "the points differ in an input that the claim keeps fixed")
    middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
    fx, fy, fm = (claim.sign * evaluate(model, claim.output, point) for point in (x, y, middle))
    hold(2 * fm > fx + fy, "the pair does not violate midpoint convexity")


def rule_interior(claim: Claim, point: list[Fraction], equations: Any) -> None:
    """Solve equations for inputs; the point lies strictly inside all rows that remain.

    Sums of the rows >= 0 that are opposite to each other are equal to 0.
    """
    hold(claim.contains(point), "the point lies outside the polyhedron")
    need(not equations or len(claim.inputs) == len(point), "a partial claim allows no equations")
    for index, *sides in equations:
        factors = [rationals(y, len(claim.rows)) for y in sides]
        above, below = (combination(y, claim.rows) for y in factors)
        opposite = not combination([1, 1], [above, below]) and min(map(min, factors)) >= 0
        key = natural(index, len(point)) + 1
        hold(opposite and key in above, f"input {index} is not shown to be determined")
        claim.solved[key] = {k: -v / above[key] for k, v in above.items() if k != key}
    mixed = set().union(*claim.solved.values()) & claim.solved.keys()
    hold(not mixed, "the equations are not solved")
    values: list[Form] = [claim.solved.get(key, {key: 1}) for key in range(len(point) + 1)]
    claim.rows = [substitute(row, values) for row in claim.rows]
    slacks = [substitute(row, [{ONE: v} for v in (1, *point)]) for row in claim.rows if row]
    hold(all(slack.get(ONE, 0) > 0 for slack in slacks), "the point is not inside the polyhedron")


def rule_bound(node: Node, zeta: Form, sign: int, side: Any) -> int:
    """Bound a form, or minus it, from above, where the hyperplane is or on the whole domain.

    By intervals, by lines and a multiple of the group, or by multipliers of rows.
    """
    if side is None:
        return node.largest(combination([sign], [zeta]))
    if isinstance(side, str):
        (shift,) = rationals([side], 1)
        need(node.group, "there is no hyperplane here")
        scale, shifted = sign * FINE * shift.denominator, FINE * shift.numerator
        total = combination([scale, shifted], [zeta, {node.group: 1}])
        return -(-node.largest(node.line(total)) // abs(scale))
    total, factor, _ = node.combine(side, combination([sign], [zeta]))
    return ceil(factor * node.largest(total))


def rule_quadratic(model: Model, claim: Claim) -> None:
    """Along directions of the domain the quadratic function does not bend downwards.

    Its form in the free coordinates of these directions is a sum of squares: LDL'.
    """
    free = [i + 1 for i in claim.inputs if claim.ranges[i + 1][0] < claim.ranges[i + 1][1]]
    ways: dict[int, Form] = {key: {key: 1} for key in free}
    # what equations determine moves with the others; t does not move
    solved = claim.solved.items()
    ways |= {key: {k: v for k, v in form.items() if k != ONE} for key, form in solved}
    matrix: dict[int, Form] = {}
    for i, j, factor in model.curved(claim.output):
        for one, other in ((i, j), (j, i)):
            for key, v in ways.get(one, {}).items():
                add(matrix.setdefault(key, {}), claim.sign * factor * v, ways.get(other, {}))
    while matrix:
        key, row = matrix.popitem()
        pivot = row.pop(key, 0)
        hold(pivot > 0 or (pivot == 0 and not row), "the quadratic function bends downwards")
        for other, value in row.items():
            matrix[other].pop(key)
            add(matrix[other], -value / pivot, row)


def rule_path_signs(net: Network) -> set[int]:
    """Whatever the pattern, these groups do not bend the function downwards."""
    return {unit for unit in net.kinks if net.slopes[-unit][0] >= 0}


def spans(node: Node) -> dict[int, tuple[int, int]]:
    """Return intervals of the slopes of all units over max(zeta, 0) of the group."""
    net, found, fixed = node.net, {node.group: (1, 1)}, node.fixed | {node.group: True}
    most = 1
    for k in range(node.group + 1, net.output + 1):
        form, low, high = net.units[k].form, 0, 0
        charge(most, form, net.units[k].bits)
        for h in net.units[k].reads & found.keys():
            off, kink = form.get(h, 0) if h != node.group else 0, form.get(-h, 0)
            slopes = [off + kink * on for on in (0, 1) if fixed.get(h, on) == on]
            ends = [slope * end for slope in slopes for end in found[h]]
            low, high = low + min(ends), high + max(ends)
        if low or high:
            found[k], most = (low, high), max(most, -low, high)
    return found


def rule_sign(node: Node) -> None:
    """No pattern below this node bends the function downwards."""
    low, _ = spans(node).get(node.net.output, (0, 0))
    hold(low >= 0, "the gradient jump may be negative")


def rule_empty(node: Node, entries: Any) -> None:
    """No facet of the group with a negative jump lies below this node.

    Its hyperplane does not cut the claimed inputs, or a combination of rows that are
    valid on such facets is negative.
    """
    group = node.expand({node.group: 1})
    if min(group, default=ONE) >= ONE and not group.keys() & node.net.moving:
        return
    total, _, strict = node.combine(entries, {})
    inside = not node.face and any(ONE < key < node.net.inputs for key in total)
    bound, strict = node.largest(total), strict or inside
    hold(bound < 0 or (bound == 0 and strict), "the combination is no contradiction")


def rule_smooth(node: Node) -> None:
    """Of such a facet, the two pieces of the function that meet are known: it bends upwards."""
    net, normal, pieces = node.net, node.expand({node.group: 1}), []
    hold(normal and net.kinks <= node.fixed.keys(), "the pattern is still open")
    for side in (1, -1):
        there = Node(net, node.group, dict(node.fixed))
        for unit in sorted(net.kinks):
            c = multiple(there.expand({unit: 1}), normal)
            if c is not None:  # otherwise it has the same sign on both sides
                there.fixed[unit] = c * side > 0
        pieces.append(there.expand({net.output: 1}))
    bend = multiple(combination([1, -1], pieces), normal)
    hold(bend is not None and bend >= 0, "the function bends downwards here")


def rule_tree(
    net: Network,
    lines: Iterator[Any],
    block: Any,
    index: Any,
    face: Any = 0,
    bounds: Any = (),
) -> tuple[int, int]:
    """Read the tree of one group, or of one face, in preorder, on-child first; return both."""
    group = net.unit(block, index)
    node, path = Node(net, group, {group: False}), list[int]()  # the units that are branched on
    need(type(face) is int and (face == 0 or face in net.faces), f"there is no face {face!s:.20}")
    if face:
        node.face, node.local[abs(face)] = face, (1, 1) if face > 0 else (-1, -1)
    for *neuron, lower, upper in bounds:
        node.narrow(net.unit(*neuron), lower, upper)
    leaves: dict[Any, Any] = {"sign": rule_sign, "empty": rule_empty, "smooth": rule_smooth}
    for name, *arguments in lines:
        if name == "branch":
            path.append(net.unit(*arguments))
            hold(path[-1] not in node.fixed, f"{net.units[path[-1]].name} is already decided")
            node.fixed[path[-1]] = True
            continue
        need(name in leaves, f"unknown leaf {name!r:.40}")
        spend(len(node.fixed))
        leaves[name](node, *arguments)
        while path and not node.fixed[path[-1]]:
            del node.fixed[path.pop()]
        if not path:
            return group, face
        node.fixed[path[-1]] = False
    raise Rejected(f"the tree of {net.units[group].name} is not finished")


def check(model: Model, lines: Iterator[Any]) -> Claim:
    """Check all lines and return what is proved."""
    WORK[0] = 0
    claim, n = Claim(next(lines, {}), model), model.inputs
    if claim.refutes:
        rule_pair(model, claim, *(rationals(point, n) for point in expect(lines, "pair")))
        need(next(lines, None) is None, "nothing may follow the pair")
        return claim
    if claim.rows:
        point, equations = expect(lines, "interior")
        rule_interior(claim, rationals(point, n), equations)
    (bounds,) = expect(lines, "bounds")
    net = Network(model, claim, {(block, i): sides for block, i, *sides in bounds})
    proved: set[int] = set()
    faces: dict[int, set[int]] = {}
    curved = bool(model.curved(claim.output))
    for name, *arguments in lines:
        if name == "path_signs":
            proved |= rule_path_signs(net, *arguments)
        elif name == "quadratic" and curved:
            rule_quadratic(model, claim, *arguments)
            curved = False
        else:
            need(name == "tree", f"unknown rule {name!r:.40}")
            group, face = rule_tree(net, lines, *arguments)
            faces.setdefault(group, set()).add(face)
            if not face or faces[group] >= net.faces:
                proved.add(group)
    missing = sorted(net.units[unit].name for unit in net.kinks - proved)
    hold(not missing, f"nothing is proved about {shown(missing)}")
    hold(not curved, "nothing is proved about the quadratic function")
    return claim


def run(model_file: str, certificate: str) -> tuple[int, str, Claim | None]:
    """Check one certificate: the exit code, the answer in one line, what is proved if it is."""
    place, lines, claim = model_file, Lines(certificate), None
    try:
        with open(place, "rb") as file:
            model = read_model(file.read(MAX_MODEL + 1))
        place = lines.path
        claim = check(model, iter(lines))
        answer, code = f"accepted: {claim}", 0
    except Rejected as error:
        answer, code = f"rejected: line {lines.number}: {error}", 1
    except Exception as error:  # no file may end in a traceback
        at = f" line {lines.number}" if lines.number else ""
        kind = "" if isinstance(error, Malformed | OSError) else f"{type(error).__name__}: "
        answer, code = f"malformed: {place}{at}: {kind}{str(error)[:200]}", 2
    return code, answer.encode("unicode_escape").decode(), claim


def main(argv: list[str] | None = None) -> int:
    """Check one certificate and print the answer; the exit code says it, too."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 2:
        sys.stderr.write("usage: checker.py MODEL.json CERTIFICATE\n")
        return 2
    code, answer, _ = run(*arguments)
    sys.stdout.write(answer + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
