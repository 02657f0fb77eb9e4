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
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from math import ceil, gcd, isfinite, lcm
from operator import mul
from typing import Any, NamedTuple

FORMAT, MODEL_FORMAT = "jensen-certificate/3", "jensen-export/2"
QUADRATIC_FORMAT = "jensen-export/3"  # a model of which quadratic functions are a part
FORMATS = FORMAT, "jensen-certificate/2"  # the older one is a part of the newer one
MAX_MODEL, MAX_LINE, MAX_FILE = 1 << 28, 1 << 24, 1 << 30  # bytes, a certificate's unpacked
MAX_INPUTS, MAX_NUMBER, MAX_SCALE = 1 << 20, 200_000, 1 << 17  # characters; bits to scale with
MAX_WORK = 1 << 40  # of `spend`: about an hour
MAX_TEXT = 300  # characters of the domain, and of the inputs, that are printed
INTEGER = "(0|[1-9][0-9]*|0x[0-9a-f]+)"
NUMBER = re.compile(f"-?{INTEGER}(/{INTEGER})?")
DOMAINS = {"box": ("lower", "upper"), "polyhedron": ("A", "b"), "everywhere": ()}
FEW, SLOT = 64, 32  # so many inputs are put side by side in one integer, in so many bytes each
HALF = 1 << 8 * SLOT - 1  # what keeps the contents of a slot above 0
ONE = 0  # the unit that is constantly 1
FINE = 1 << 20  # by which a form is multiplied, so that slopes of lines can be integers

WORK = [0]  # what was spent
Number = int | Fraction
Form = dict[int, int]  # linear form; key u: zeta of the unit u, key -u: max(zeta_u, 0)
Scaled = tuple[Form, Fraction]  # coprime integers, and the number that multiplies them
Values = dict[str, list[Scaled]]  # by block
States = dict[int, bool]  # of units that are on or off
Spans = dict[int, tuple[int, int]]  # intervals, by unit
Quadratic = list[tuple[int, int, Number]]  # i, j and q: q x_i x_j, where 0 stands for 1


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
    quadratic: Sequence[Quadratic] = ()  # what is a part of each output


class Unit:
    """A group of neurons: zeta as a form of earlier units, and its bounds."""

    def __init__(self, name: str, form: Form, low: int, high: int, inputs: int = 1) -> None:
        self.name, self.form, self.low, self.high, self.range = name, form, low, high, (low, high)
        # asked for again and again: a measure of its integers, what it reads of inputs and units
        self.size = size(form)
        self.outer = [(key, value) for key, value in form.items() if 0 <= key < inputs]
        self.inner = [(key, value) for key, value in form.items() if not 0 <= key < inputs]
        self.reads = {abs(key) for key, _ in self.inner}
        # the coefficients of 1 and a few inputs side by side in one integer
        few = self.outer if inputs <= FEW else []
        self.packed = sum([value << 8 * SLOT * key for key, value in few])


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
    if type(value) is int and 0 <= value < limit:
        return value
    raise Malformed(f"{str(value)[:20]} is no index < {limit}")


def double(text: Any) -> float:
    """Read a finite double, written as ``float.hex`` writes it."""
    number = float.fromhex(text)
    need(isfinite(number) and number.hex() == text, f"{text[:40]!r} is no hexadecimal double")
    return number


def rationals(items: Any, count: int) -> list[Number]:
    """Read a list of so many numbers like "-3", "2/7" or "-0x1f/0x2b"."""
    need(isinstance(items, list) and len(items) == count, f"a list of {count} numbers is needed")
    for text in items:
        if not (isinstance(text, str) and len(text) <= MAX_NUMBER and NUMBER.fullmatch(text)):
            raise Malformed(f"{str(text)[:40]!r} is no exact number, or too long a one")
    spend(4 * max(map(len, items), default=0), sum([4 * len(text) + 64 for text in items]))
    numbers: list[Number] = [
        Fraction(*(int(part, 0) for part in text.split("/"))) if "/" in text else int(text, 0)
        for text in items
    ]
    denominator(numbers)
    return numbers


def text_of(value: Fraction | int) -> str:
    """Write a number in lowest terms, in hexadecimal beyond 64 bits."""
    top, bottom = value.numerator, value.denominator
    style = "d" if max(abs(top), bottom) < 1 << 64 else "#x"
    return format(top, style) + ("" if bottom == 1 else f"/{bottom:{style}}")


def canonical(value: Any) -> Any:
    """Return a number in canonical form, or nested lists of numbers."""
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return text_of(*rationals([value], 1))


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
    blocks: list[Block] = []
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
        blocks.append(Block(name, relu, bias, weights))
    need(blocks[-1].name == "output" and not blocks[-1].relu, "no affine output")
    terms = [[]] * sizes["output"] if plain else head["quadratic"]
    need(len(terms) == sizes["output"], "a quadratic function per output is needed")
    forms = [read_terms(part, sizes["input"] + 1) for part in terms]
    return Model(hashlib.sha256(raw).hexdigest(), sizes["input"], blocks, forms)


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


def spend(bits: int, other: int) -> None:
    """Count products of a number of so many bits; ``other`` is the size of what it multiplies."""
    WORK[0] += (bits + 4096) * other >> 10
    if WORK[0] > MAX_WORK:
        raise Malformed("the work is more than anybody should be asked for")


def longest(numbers: Iterable[int]) -> int:
    """Return how many bits the longest of some integers has."""
    return max(map(int.bit_length, numbers), default=0)


def size(form: Form) -> int:
    """Return how many bits the integers of a form have together, and 64 for each."""
    return sum(map(int.bit_length, form.values())) + 64 * len(form)


def digits(value: Number) -> int:
    """Return how many bits a number has."""
    return value.numerator.bit_length() + value.denominator.bit_length()


def denominator(numbers: Iterable[Number]) -> int:
    """Return the least common denominator."""
    scale = 1
    for bottom in {number.denominator for number in numbers}:
        spend(scale.bit_length(), bottom.bit_length() + 64)
        scale = lcm(scale, bottom)
        need(scale.bit_length() <= MAX_SCALE, "the numbers have too many digits")
    return scale


def add(form: dict[int, Any], factor: Any, other: dict[int, Any]) -> None:
    """Add ``factor * other`` to a form in place; what cancels disappears."""
    for key, value in other.items() if factor else ():
        total = form.get(key, 0) + factor * value
        if total:
            form[key] = total
        else:
            form.pop(key, None)


def blend(factors: Sequence[int], scale: int, forms: Sequence[Form]) -> Scaled:
    """Return the sum of multiples of forms, divided: coprime integers, and what multiplies them."""
    total: Form = {}
    spend(longest(factors), sum(map(size, forms)))
    for factor, form in zip(factors, forms, strict=True):
        add(total, factor, form)
    spend(longest(total.values()), size(total))
    content = gcd(*total.values())
    need(max(content, scale).bit_length() <= MAX_SCALE, "the forms need too many digits")
    if content > 1:
        total = {key: value // content for key, value in total.items()}
    return total, Fraction(content, scale)


def mix(factors: Sequence[Number], forms: Sequence[Form]) -> Scaled:
    """Return the sum of rational multiples of forms."""
    scale = denominator(factors)
    return blend([f.numerator * (scale // f.denominator) for f in factors], scale, forms)


def substitute(form: dict[int, Any], factor: Number, values: Sequence[Scaled]) -> Scaled:
    """Put forms in the place of the keys of ``factor * form``."""
    factors = [value * values[key][1] for key, value in form.items()]
    total, scale = mix(factors, [values[key][0] for key in form])
    return total, factor * scale


def multiple(form: Form, normal: Form) -> Fraction | None:
    """Return c with form = c * normal, if there is one."""
    key = min(normal)
    c = Fraction(form.get(key, 0), normal[key])
    return None if mix([1, -c], [form, normal])[0] else c


# -------------------------------------------------------------- claims (sections 1 and 3)


class Claim:
    """The first line: what is claimed, and where."""

    def __init__(self, head: Any, model: Model) -> None:
        keys = {"format", "model", "claim", "output", "domain", "inputs"}
        need({*head, "inputs"} == keys, "this is no claim")
        need(head["format"] in FORMATS, f"the format is not {FORMAT}")
        hold(head["model"] == model.digest, "the certificate is about another model")
        self.kind, domain, n = head["claim"], head["domain"], model.inputs
        need(self.kind in ("convex", "concave", "nonconvex", "nonconcave"), "unknown claim")
        self.refutes = self.kind.startswith("non")
        self.sign = -1 if self.kind.endswith("concave") else 1
        self.output = natural(head["output"], len(model.blocks[-1].bias))
        inputs = head.get("inputs", list(range(n)))
        need(inputs and isinstance(inputs, list), "the inputs of the claim must be a list")
        self.inputs = [natural(i, n) for i in inputs]
        need(inputs == sorted({*inputs}), "the inputs of the claim must increase")
        # ranges of t and the inputs on the work domain; b t - a x >= 0 of a polyhedron, with
        # key 0 for t and i + 1 for input i; the inputs that equations determine, by key
        self.ranges: list[tuple[Number, Number]] = [(0, 1), *[(-1, 1)] * n]
        self.rows: list[Scaled] = []
        self.solved: dict[int, Scaled] = {}
        kind = domain["type"]
        need(domain.keys() == {"type", *DOMAINS[kind]}, "unknown domain")
        # the same in canonical numbers
        self.domain = {"type": kind} | {key: canonical(domain[key]) for key in DOMAINS[kind]}
        if kind == "box":
            lower, upper = (rationals(domain[side], n) for side in ("lower", "upper"))
            self.ranges = [(1, 1), *zip(lower, upper, strict=True)]
            need(all(low <= high for low, high in self.ranges), "the box is empty")
        elif kind == "polyhedron":
            single: list[Form] = [{key: 1} for key in range(n + 1)]
            for a, b in zip(domain["A"], rationals(domain["b"], len(domain["A"])), strict=True):
                self.rows.append(mix([b, *(-v for v in rationals(a, n))], single))

    def __str__(self) -> str:
        partial = len(self.inputs) < len(self.ranges) - 1
        some = f" in inputs {shown(self.inputs)}" if partial else ""
        where = f"domain {shown(self.domain)}, SHA-256 {digest(self.domain)}"
        return f"output {self.output} is {self.kind}{some}, {where}"

    def contains(self, x: list[Number]) -> bool:
        """Decide whether a point lies in the domain."""
        point = [1, *x]
        sides = zip(point, self.ranges, strict=True) if self.ranges[0] == (1, 1) else ()
        slacks = [sum(v * point[key] for key, v in row.items()) for row, _ in self.rows]
        return all(low <= v <= high for v, (low, high) in sides) and all(v >= 0 for v in slacks)


# ------------------------------------------------------------------- groups (section 4)


def pre_activation(block: Block, index: int, one: Scaled, values: Values) -> Scaled:
    """Return what a neuron computes from the values of what it reads."""
    terms = [(block.bias[index], *one)]
    for source, rows in block.weights.items():
        terms += [(weight, *values[source][j]) for j, weight in rows[index].items()]
    weights = [weight.as_integer_ratio() for weight, *_ in terms]
    scale, bottom = denominator([c for *_, c in terms]), max([below for _, below in weights])
    factors = [
        above * (bottom // below) * c.numerator * (scale // c.denominator)
        for (above, below), (*_, c) in zip(weights, terms, strict=True)
    ]
    return blend(factors, bottom * scale, [form for _, form, _ in terms])


class Network:
    """The claimed output and the groups in front of it, as integer forms on the work domain.

    Unit 0 is constantly 1. Then come t, if lifted, the free inputs, and the groups of
    neurons in topological order, last the output. ``rows`` are those of a polyhedron,
    ``moving`` the inputs of the claim, ``kinks`` the units that may bend the output, which is
    ``scale`` times the last one, but for the sign of the claim.
    """

    def __init__(self, model: Model, claim: Claim, bounds: dict[Any, Any]) -> None:
        self.units = [Unit("the quadratic function", {}, 1, 1)]
        self.neurons: dict[tuple[Any, ...], tuple[int, Fraction]] = {}  # z = factor * zeta_unit
        self._known: dict[frozenset[Any], tuple[int, int]] = {}  # unit and sign, by row
        self._bounds = bounds
        self.t, *inputs = self._inputs(claim)
        self.inputs = len(self.units)
        few = self.inputs if self.inputs <= FEW else 0
        self.room = 8 * SLOT if few else 0
        self.halves = sum([HALF << 8 * SLOT * key for key in range(few)])
        # of the cube around the origin, by unit and side; unit 1 is t, which is not negative
        cube = range(1, self.inputs) if claim.ranges[0] == (0, 1) else ()
        self.faces = {*cube, *(-unit for unit in cube if unit > 1)}
        values = {"input": inputs}
        *hidden, last = model.blocks
        for block in hidden:
            values[block.name] = [self._neuron(block, i, values) for i in range(len(block.bias))]
        need(not self._bounds, "there are bounds of what is not the first neuron of a group")
        zeta, self.scale = pre_activation(last, claim.output, self.t, values)
        self.output = self._append("output", {k: claim.sign * v for k, v in zeta.items()}, 0, 0)
        self.slopes = self._slopes()
        self.kinks = {-key for key, slope in self.slopes.items() if key < 0 and any(slope)}

    def _inputs(self, claim: Claim) -> list[Scaled]:
        """Add t and the inputs that are free; return t and all inputs as forms of them."""
        values: list[Scaled] = []
        for key, (low, high) in enumerate(claim.ranges):
            free, scale = low < high and key not in claim.solved, denominator([low, high])
            values.append(
                ({len(self.units): 1}, Fraction(1, scale)) if free else mix([low], [{ONE: 1}])
            )
            if free:
                self.units.append(Unit("input", {}, int(low * scale), int(high * scale)))
        self.moving = {unit for i in claim.inputs for unit in values[i + 1][0]} - {ONE}
        for key, form in claim.solved.items():
            values[key] = substitute(*form, values)
        self.rows = [substitute(*row, values) for row in claim.rows]
        return values

    def _append(self, name: str, form: Form, low: int, high: int) -> int:
        """Add a unit and return its number."""
        self.units.append(Unit(name, form, low, high, self.inputs))
        bits = longest(value for _, value in self.units[-1].outer)
        self.room = min(self.room, 8 * SLOT - bits - 32)
        return len(self.units) - 1

    def add_inputs(self, total: list[int], passed: list[int]) -> None:
        """Add so much of 1 and of the inputs as the forms of some units contain, by key."""
        slopes = [total[h] for h in passed]
        bits = longest(slopes)
        spend(bits, 64 * len(self.units) + sum([self.units[h].size for h in passed]))
        if len(passed) > 4 and bits < self.room:
            whole = sum(map(mul, slopes, [self.units[h].packed for h in passed]), self.halves)
            data = whole.to_bytes(self.inputs * SLOT, "little")
            for key in range(self.inputs):
                total[key] += int.from_bytes(data[key * SLOT : (key + 1) * SLOT], "little") - HALF
            return
        for h, slope in zip(passed, slopes, strict=True):
            for key, value in self.units[h].outer:
                total[key] += slope * value

    def _neuron(self, block: Block, index: int, values: Values) -> Scaled:
        """Return z or max(z, 0); neurons with proportional z share a unit."""
        zeta, factor = pre_activation(block, index, self.t, values)
        opposite, key = (frozenset((k, sign * v) for k, v in zeta.items()) for sign in (-1, 1))
        if key not in self._known:
            lower, upper = self.multipliers(block.name, index, zeta)
            node = Node(self, ONE, {})
            low, high = -rule_bound(node, zeta, -1, lower), rule_bound(node, zeta, 1, upper)
            unit = self._append(f"{block.name}[{index}]", zeta, low, high)
            self._known |= {opposite: (unit, -1), key: (unit, 1)}
        unit, sign = self._known[key]
        factor *= sign
        self.neurons[block.name, index] = unit, factor
        if not block.relu:
            return {unit: 1}, factor
        low, high = self.units[unit].low, self.units[unit].high
        value: Form = {} if high <= 0 else {unit if low >= 0 else -unit: 1}
        # max(c zeta, 0) = |c| max(zeta, 0) + min(c, 0) zeta
        add(value, -(factor < 0), {unit: 1})
        return value, abs(factor)

    def multipliers(self, block: str, index: int, _zeta: Form) -> Any:
        """Return what the certificate says about the bounds of a new unit: lower, upper."""
        return self._bounds.pop((block, index), (None, None))

    def unit(self, *name: Any) -> int:
        """Return the unit of a neuron, named by block and index."""
        if not (type(name[-1]) is int and name in self.neurons):
            raise Malformed(f"there is no neuron {name!s:.60}")
        return self.neurons[name][0]

    def _slopes(self) -> dict[int, tuple[int, int]]:
        """Return intervals of the slope of the output over every key, whatever the pattern."""
        slopes = {self.output: (1, 1)} if self.moving else {}
        for k in range(self.output, self.inputs - 1, -1):
            (low, high), jump = slopes.get(k, (0, 0)), slopes.get(-k, (0, 0))
            low, high = low + min(jump[0], 0), high + max(jump[1], 0)
            spend(max(-low, high).bit_length(), self.units[k].size)
            for key, factor in self.units[k].form.items() if low or high else ():
                (a, b), ends = slopes.get(key, (0, 0)), (factor * low, factor * high)
                slopes[key] = a + min(ends), b + max(ends)
        return slopes


class Node:
    """A node of the tree of a group, or the whole work domain (group ONE)."""

    def __init__(self, net: Network, group: int, fixed: dict[int, bool]) -> None:
        # what is on or off; among it the group: max(zeta, 0) is 0 on its hyperplane
        self.net, self.group, self.fixed, self.root = net, group, fixed, dict(fixed)
        self.local: dict[int, tuple[int, int]] = {}  # bounds that hold on the hyperplane
        self.face, self.shifts = 0, dict[str, Number]()
        # slopes of all units over max(zeta, 0) of the group, as known at the root of the tree:
        # their intervals, and as forms of states and products
        self.spans: Spans = {}
        self.jumps: dict[int, Form] = {}

    def bounds(self, k: int) -> tuple[int, int]:
        """Return the range of a unit, of a state (0 or 1), or of a product of state and slope."""
        count = len(self.net.units)
        if k < count:
            return self.local.get(k) or self.net.units[k].range
        if k < 2 * count:
            return self.fixed.get(k - count, False), self.fixed.get(k - count, True)
        low, high = self.spans.get(k - 2 * count, (0, 0))
        return min(low, 0), max(high, 0)

    def largest(self, form: Form) -> int:
        """Return an upper bound of a form: over the ranges of its variables, each by itself."""
        units, local, bound, most = self.net.units, self.local, 0, 1
        for k, value in form.items():
            input_unit = 0 <= k < self.net.inputs
            low, high = (local.get(k) or units[k].range) if input_unit else self.bounds(abs(k))
            if low < -most or high > most:
                most = max(-low, high)
            if k < 0:
                slope = form.get(-k, 0)
                ends = slope * low + value * max(low, 0), slope * high + value * max(high, 0)
                bound += max(*ends, 0) if low < 0 < high else max(ends)
            elif input_unit or -k not in form:
                bound += value * (high if value > 0 else low)
        spend(most.bit_length(), size(form))
        need(bound.bit_length() <= MAX_SCALE, "the bounds need too many digits")
        return bound

    def line(self, unit: int, sign: int, text: str) -> int:
        """Bound a unit, or minus it, by lines and a multiple of the group that vanishes here."""
        shift = self.shifts.get(text) or rationals([text], 1)[0]
        scale = FINE * shift.denominator
        form = {unit: sign * scale, self.group: FINE * shift.numerator}
        return -(-self.largest(self.expand(form, lines=True)) // scale)

    def narrow(self, unit: int, *sides: Any) -> None:
        """Bound a unit on the hyperplane; what is not 0 there is on, or off, at every facet."""
        if unit in self.fixed:
            raise Rejected(f"{self.net.units[unit].name} is already decided")
        ends = list(self.bounds(unit))
        for i, (sign, side) in enumerate(zip((-1, 1), sides, strict=True)):
            if side is not None:
                line = isinstance(side, str)
                end = (
                    self.line(unit, sign, side) if line else rule_bound(self, {unit: 1}, sign, side)
                )
                ends[i] = sign * min(sign * ends[i], end)
        low, high = self.local[unit] = ends[0], ends[1]
        if low > 0 or high < 0:
            self.fixed[unit] = self.root[unit] = low > 0
            self.spans, self.jumps = {}, {}

    def root_spans(self) -> Spans:
        """Return the intervals of all slopes over max(zeta, 0) of the group at the root."""
        self.spans = self.spans or spans(self.net, self.group, self.root)
        return self.spans

    def open_states(self) -> None:
        """Compute how slopes over max(zeta, 0) of the group depend on the root's open states."""
        count, _ = len(self.net.units), self.root_spans()
        # by unit k its slope S_k, by -k what it passes on: a_k S_k
        self.jumps = {-self.group: {ONE: 1}}
        for k in range(self.group + 1, self.net.output + 1):
            row, slope = self.net.units[k].form, dict[int, int]()
            for key in row.keys() & self.jumps.keys():
                spend(row[key].bit_length(), size(self.jumps[key]))
                add(slope, row[key], self.jumps[key])
            constant = {count + k: slope[ONE]} if slope.keys() == {ONE} else {2 * count + k: 1}
            passed = constant if k not in self.root else slope if self.root[k] else {}
            if slope:
                self.jumps |= {k: slope, -k: passed}

    def expand(self, form: Form, *, lines: bool = False) -> Form:
        """Write a form in the inputs, and in max(zeta_h, 0) of units that are not fixed.

        With lines for these the result is a form of the inputs that is nowhere less.
        """
        net, units, fixed, local = self.net, self.net.units, self.fixed, self.local
        total = [0] * (2 * len(units))  # by key; those below 0 count from the end
        for key, value in form.items():
            total[key] = value
        kept, passed = dict[int, int](), list[int]()
        for h in range(max(map(abs, form), default=0), net.inputs - 1, -1):
            kink = total[-h]
            if kink and h in fixed:
                total[h] += kink * fixed[h]
            elif kink and lines:
                low, high = local.get(h) or units[h].range
                if kink > 0:  # as tilt is rounded down, what is over high is over low, too
                    tilt = kink * high // (high - low or 1)
                    total[ONE] += (kink - tilt) * high
                else:
                    tilt = kink if high > -low else 0
                total[h] += tilt
            elif kink:
                kept[-h] = kink
            slope = total[h]
            if slope:
                passed.append(h)
                for key, value in units[h].inner:
                    total[key] += slope * value
        net.add_inputs(total, passed)
        return {key: total[key] for key in range(net.inputs) if total[key]} | kept

    def strict(self, kind: Any, *where: Any) -> bool:
        """Whether a row is positive inside a facet, and not only not negative."""
        if kind != "sign":
            return bool(kind == "domain" and self.net.rows[where[0]][0])
        group, form = self.expand({self.group: 1}), self.expand({self.net.unit(*where): 1})
        return bool(group) and min([*group, *form]) >= ONE and multiple(form, group) is None

    def row(self, kind: Any, *where: Any) -> tuple[Form, Number]:
        """Return a row ``form * factor >= 0`` of section 5."""
        if kind == "domain":
            (index,) = where
            return self.net.rows[natural(index, len(self.net.rows))]
        if kind in ("facet", "jump", "product"):
            need(self.group, "there is no hyperplane here")
            if not self.jumps and kind != "facet":
                self.open_states()
        if kind in ("facet", "jump"):
            need(not where, "facet and jump have no neuron")
            slope = self.jumps.get(self.net.output, {})
            jump = slope | {ONE: slope.get(ONE, 0) + 1}
            return ({self.group: 1}, 1) if kind == "facet" else (jump, -1)
        *name, number = where if kind == "product" else (*where, 0 if kind == "on" else 2)
        return self.row_of(kind, self.net.unit(*name), natural(number, 4))

    def row_of(self, kind: Any, unit: int, number: int) -> tuple[Form, Number]:
        """Return a row about a unit."""
        if kind == "above":
            return {-unit: 1, unit: -1}, 1
        if kind == "sign":
            hold(unit in self.fixed, "a unit is neither on nor off here")
            return {unit: 1}, 1 if self.fixed[unit] else -1
        low, high = self.bounds(unit)
        if kind == "below":
            hold(low < 0 < high, "a unit does not change its sign")
            return {unit: high, -unit: low - high, ONE: -high * low}, 1
        need(kind in ("on", "off", "product"), "there is no such row")
        hold(unit != self.group, "the group itself has no state")
        # of P = a Y, where a is 0 or 1 and Y in [low, high]: zeta and its positive part, or slopes
        state, product, slope = len(self.net.units) + unit, -unit, {unit: 1}
        if kind == "product":
            product, slope = len(self.net.units) + state, self.jumps.get(unit, {})
            low, high = self.spans.get(unit, (0, 0))
        end, sign = high if number in (0, 3) else low, 1 if number in (0, 2) else -1
        if number < 2:  # end a - P
            return {state: end, product: -1}, sign
        # Y - P - end (1 - a)
        return slope | {state: end, product: -1, ONE: slope.get(ONE, 0) - end}, sign

    def combine(self, entries: Any, form: Form) -> Scaled:
        """Add multiples of rows to a form; return the sum, and its factor."""
        need(isinstance(entries, list), "the multipliers must be a list")
        multipliers = rationals([entry[-1] for entry in entries], len(entries))
        factors: list[Number] = [1]
        forms = [form]
        for y, (kind, *where, _) in zip(multipliers, entries, strict=True):
            row, factor = self.row(kind, *where)
            forms.append(row)
            factors.append(y * factor)
            hold(y > 0 or kind == "facet", "a multiplier is not positive")
        total, scale = mix(factors, forms)
        states = {key: total.pop(key) for key in [*total] if key >= len(self.net.units)}
        return self.expand(total) | states, scale


# --------------------------------------- rules (section 5): they raise, or what they say holds


def evaluate(model: Model, output: int, x: list[Number]) -> Fraction:
    """Return an output of the network at a point."""
    one: Scaled = ({ONE: 1}, Fraction(1))
    values: Values = {"input": [mix([v], [{ONE: 1}]) for v in x]}
    for block in model.blocks:
        z = [pre_activation(block, i, one, values) for i in range(len(block.bias))]
        values[block.name] = [
            ({}, one[1]) if block.relu and form.get(ONE, 0) < 0 else (form, c) for form, c in z
        ]
    form, c = values["output"][output]
    terms, point = model.quadratic[output], [1, *x]
    most = max([digits(v) for v in [*point, *(q for *_, q in terms)]])
    spend(4 * most, 40 * len(terms) * (most + 64))
    return c * form.get(ONE, 0) + sum(q * point[i] * point[j] for i, j, q in terms)


def rule_pair(model: Model, claim: Claim, x: list[Number], y: list[Number]) -> None:
    """Two points of the domain whose midpoint lies above the chord, exactly."""
    hold(claim.contains(x) and claim.contains(y), "a point lies outside the domain")
    moved = {i for i, (a, b) in enumerate(zip(x, y, strict=True)) if a != b}
    hold(moved <= {*claim.inputs}, "the points differ in an input that the claim keeps fixed")
    middle: list[Number] = [Fraction(a + b) / 2 for a, b in zip(x, y, strict=True)]
    fx, fy, fm = (claim.sign * evaluate(model, claim.output, point) for point in (x, y, middle))
    hold(2 * fm > fx + fy, "the pair does not violate midpoint convexity")


def rule_interior(claim: Claim, point: list[Number], equations: Any) -> None:
    """Solve equations for inputs; the point lies strictly inside all rows that remain.

    Sums of the rows >= 0 that are opposite to each other are equal to 0.
    """
    hold(claim.contains(point), "the point lies outside the polyhedron")
    need(not equations or len(claim.inputs) == len(point), "a partial claim allows no equations")
    for index, *sides in equations:
        above, below = (rationals(y, len(claim.rows)) for y in sides)
        both = [sum(two) for two in zip(above, below, strict=True)]
        form, opposite = (substitute(dict(enumerate(y)), 1, claim.rows)[0] for y in (above, both))
        key = natural(index, len(point)) + 1
        shown_to_be = not opposite and min(above + below) >= 0 and key in form
        hold(shown_to_be, f"input {index} is not shown to be determined")
        divisor = -form.pop(key)
        claim.solved[key] = form, Fraction(1, divisor)
    mixed = set().union(*(form for form, _ in claim.solved.values())) & claim.solved.keys()
    hold(not mixed, "the equations are not solved")
    keys: list[Scaled] = [({key: 1}, Fraction(1)) for key in range(len(point) + 1)]
    values = [claim.solved.get(key, value) for key, value in enumerate(keys)]
    claim.rows = [substitute(*row, values) for row in claim.rows]
    at = [1, *point]
    slacks = [sum(v * at[key] for key, v in form.items()) for form, _ in claim.rows if form]
    hold(all(slack > 0 for slack in slacks), "the point is not inside the polyhedron")


def rule_bound(node: Node, zeta: Form, sign: int, side: Any) -> int:
    """Bound a form, or minus it, from above: by intervals, or by multipliers of rows."""
    form = {key: sign * value for key, value in zeta.items()}
    if side is None:
        return node.largest(form)
    total, factor = node.combine(side, form)
    return ceil(factor * node.largest(total))


def rule_quadratic(model: Model, claim: Claim) -> None:
    """Along directions of the domain the quadratic function does not bend downwards.

    Its form in the free coordinates of these directions is a sum of squares: LDL'.
    """
    free = [i + 1 for i in claim.inputs if claim.ranges[i + 1][0] < claim.ranges[i + 1][1]]
    ways: dict[int, dict[int, Any]] = {key: {key: 1} for key in free}
    # what equations determine moves with the others; t does not move
    solved = claim.solved.items()
    ways |= {key: {k: v * c for k, v in form.items() if k != ONE} for key, (form, c) in solved}
    matrix: dict[int, dict[int, Any]] = {}
    for i, j, factor in model.quadratic[claim.output]:
        for one, other in ((i, j), (j, i)):
            for key, v in ways.get(one, {}).items():
                add(matrix.setdefault(key, {}), claim.sign * factor * v, ways.get(other, {}))
                spend(0, 2560 * len(ways.get(other, {})))
    while matrix:
        key, row = matrix.popitem()
        pivot = row.pop(key, 0)
        hold(pivot > 0 or (pivot == 0 and not row), "the quadratic function bends downwards")
        for other, value in row.items():
            most = max(map(digits, [pivot, *row.values(), *matrix[other].values()]))
            spend(most, 40 * len(row) * (most + 64))
            matrix[other].pop(key)
            add(matrix[other], -value / pivot, row)


def rule_path_signs(net: Network) -> set[int]:
    """Whatever the pattern, these groups do not bend the function downwards."""
    return {unit for unit in net.kinks if net.slopes[-unit][0] >= 0}


def spans(
    net: Network, group: int, fixed: States, known: Spans | None = None, changed: Iterable[int] = ()
) -> Spans:
    """Return intervals of the slopes of all units over max(zeta, 0) of the group.

    Those may be known in which only the states of some units were other ones.
    """
    found, most, fixed, changed = {group: (1, 1)}, 1, fixed | {group: True}, {*changed}
    for k in range(group + 1, net.output + 1):
        unit, low, high = net.units[k], 0, 0
        if known and unit.reads.isdisjoint(changed):
            low, high = known.get(k, (0, 0))
        else:
            changed.add(k)
            behind = unit.reads & found.keys()
            for h in behind:
                off = unit.form.get(h, 0) if h != group else 0  # over max(zeta, 0) alone
                on = off + unit.form.get(-h, 0)
                if h in fixed:
                    off = on = on if fixed[h] else off
                a, b = found[h]
                ends = off * a, off * b, on * a, on * b
                low, high = low + min(ends), high + max(ends)
            if behind:
                spend(most.bit_length(), unit.size)
        if low or high:
            found[k], most = (low, high), max(most, -low, high)
    return found


def rule_sign(node: Node) -> None:
    """No pattern below this node bends the function downwards."""
    net, found, branched = node.net, node.root_spans(), node.fixed.keys() - node.root.keys()
    if branched:
        found = spans(net, node.group, node.fixed, found, branched)
    hold(found.get(net.output, (0, 0))[0] >= 0, "the gradient jump may be negative")


def rule_empty(node: Node, entries: Any) -> None:
    """No facet of the group with a negative jump lies below this node.

    Its hyperplane does not cut the claimed inputs, or a combination of rows that are
    valid on such facets is negative.
    """
    total, _ = node.combine(entries, {})
    bound = node.largest(total)
    if bound == 0:
        inside = not node.face and any(ONE < key < node.net.inputs for key in total)
        bound = -(inside or any(node.strict(*words) for *words, _ in entries))
    if bound >= 0:
        group = node.expand({node.group: 1})
        still = min(group, default=ONE) >= ONE and not group.keys() & node.net.moving
        hold(still, "the combination is no contradiction")


def rule_smooth(node: Node) -> None:
    """Of such a facet, the two pieces of the function that meet are known: it bends upwards."""
    net, normal, bend = node.net, node.expand({node.group: 1}), dict[int, int]()
    hold(normal and net.kinks <= node.fixed.keys(), "the pattern is still open")
    for side in (1, -1):
        there = Node(net, ONE, dict(node.fixed))
        for unit in sorted(net.kinks):
            c = multiple(there.expand({unit: 1}), normal)
            if c is not None:  # otherwise it has the same sign on both sides
                there.fixed[unit] = c * side > 0
        add(bend, side, there.expand({net.output: 1}))
    upwards = multiple(bend, normal)
    hold(upwards is not None and upwards >= 0, "the function bends downwards here")


def rule_side(node: Node, *names: Any) -> None:
    """Neither side of the hyperplane has a pattern of this node.

    Two units: where the group is on, and where it is off, such a unit is a multiple of the
    group whose sign contradicts the state that the unit has here.
    """
    for on, name in zip((True, False), (names[:2], names[2:]), strict=True):
        unit, side = node.net.unit(*name), Node(node.net, ONE, node.fixed | {node.group: on})
        form, normal = side.expand({unit: 1}), side.expand({node.group: 1})
        hold(normal and unit in node.fixed.keys() - {node.group}, "there is no state to contradict")
        c = multiple(form, normal)
        hold(c and ((c > 0) == on) != node.fixed[unit], "a side may have the pattern")


def with_zeros(path: list[list[int]]) -> list[list[int]]:
    """Put a point where the last value vanishes between neighbours with different signs of it."""
    found = path[:1]
    for a, b in pairwise(path):
        if a[-1] * b[-1] < 0:
            point = [abs(b[-1]) * x + abs(a[-1]) * y for x, y in zip(a, b, strict=True)]
            spend(longest(point), len(point) * (longest(point) + 64))
            content = gcd(*point)
            need(content.bit_length() <= MAX_SCALE, "the points need too many digits")
            found.append([x // content for x in point])
        found.append(b)
    return found


def rule_walk(node: Node) -> None:
    """Where two inputs vary the kink is a segment: no piece of it bends the function downwards.

    Points are lists of the values of all units, times a positive number that is the value of ONE.
    """
    net, normal = node.net, node.expand({node.group: 1})
    ranges = [node.bounds(unit) for unit in range(net.inputs)]
    wide = [unit for unit, (low, high) in enumerate(ranges) if low < high]
    hold(len(wide) == 2 and min(normal, default=ONE) >= ONE, "the kink is no segment")
    corners = []
    for ends in ((0, 0), (0, 1), (1, 1), (1, 0), (0, 0)):
        corner = [low for low, _ in ranges]
        for unit, end in zip(wide, ends, strict=True):
            corner[unit] = ranges[unit][end]
        corners.append([*corner, sum(v * corner[key] for key, v in normal.items())])
    hold(any(corner[-1] for corner in corners), "the kink is no segment")
    points = [point[:-1] for point in with_zeros(corners)[1:] if point[-1] == 0]
    for group in net.units[net.inputs : net.output]:
        for point in points:
            values = [point[k] if k >= 0 else max(point[-k], 0) for k in group.form]
            spend(longest(values), group.size)
            point.append(sum(map(mul, group.form.values(), values)))
        points = with_zeros(points)
    for a, b in pairwise(points):
        states = {k: a[k] + b[k] > 0 for k in range(net.inputs, net.output) if a[k] or b[k]}
        others = node.fixed.items() - {(node.group, False)}
        if all(states.get(k, on) == on for k, on in others):  # else no facet of this node is here
            rule_sign(Node(net, node.group, states | node.fixed))


LEAVES: dict[Any, Any] = {
    "sign": rule_sign, "empty": rule_empty, "smooth": rule_smooth, "side": rule_side,
    "walk": rule_walk,
}  # fmt: skip


def rule_tree(
    net: Network, lines: Iterator[Any], block: Any, index: Any, face: Any = 0, bounds: Any = ()
) -> tuple[int, int]:
    """Read the tree of one group, or of one face, in preorder, on-child first; return both."""
    group = net.unit(block, index)
    node, path = Node(net, group, {group: False}), list[int]()  # the units that are branched on
    need(type(face) is int and face in {0, *net.faces}, f"there is no face {face!s:.20}")
    if face:
        node.face, node.local[abs(face)] = face, (1, 1) if face > 0 else (-1, -1)
    texts = [side for entry in bounds for side in entry[2:] if isinstance(side, str)]
    node.shifts = dict(zip(texts, rationals(texts, len(texts)), strict=True))
    for *neuron, lower, upper in bounds:
        node.narrow(net.unit(*neuron), lower, upper)
    for name, *arguments in lines:
        if name == "branch":
            path.append(net.unit(*arguments))
            hold(path[-1] not in node.fixed, f"{net.units[path[-1]].name} is already decided")
            node.fixed[path[-1]] = True
            continue
        need(name in LEAVES, f"unknown leaf {name!r:.40}")
        spend(0, 64 * len(node.fixed))
        LEAVES[name](node, *arguments)
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
    # what bends: the groups that kink, and the quadratic function, which is called ONE here
    proved, bends = set[int](), net.kinks | ({ONE} if model.quadratic[claim.output] else set())
    faces: dict[int, set[int]] = {}
    for name, *arguments in lines:
        if name == "path_signs":
            proved |= rule_path_signs(net, *arguments)
        elif name == "quadratic" and ONE in bends - proved:
            rule_quadratic(model, claim, *arguments)
            proved.add(ONE)
        else:
            need(name == "tree", f"unknown rule {name!r:.40}")
            group, face = rule_tree(net, lines, *arguments)
            faces.setdefault(group, set()).add(face)
            if not face or faces[group] >= net.faces:
                proved.add(group)
    missing = sorted(net.units[unit].name for unit in bends - proved)
    hold(not missing, f"nothing is proved about {shown(missing)}")
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
