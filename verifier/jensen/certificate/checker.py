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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from math import ceil, gcd, isfinite, lcm
from operator import mul
from typing import Any, NamedTuple

FORMAT, MODEL_FORMAT = "jensen-certificate/3", "jensen-export/2"
QUADRATIC_FORMAT = "jensen-export/3"  # a model of which quadratic functions are a part
FORMATS = FORMAT, "jensen-certificate/2"  # the older one is a part of the newer one
MAX_MODEL, MAX_LINE, MAX_FILE = 1 << 28, 1 << 24, 1 << 30  # bytes, a certificate's unpacked
MAX_INPUTS, MAX_BITS = 1 << 20, 1 << 18  # bits of any number; 4 for each character of it
MAX_WORK = 1 << 40  # of `spend`: about an hour
MAX_WALKED = 1 << 14  # units
MAX_PUT = 1 << 14  # numbers of rows that are put into one
SHORT = 64  # characters of a number that is read at no cost
MAX_TEXT = 300  # characters of the domain, and of the inputs, that are printed
INTEGER = "(0|[1-9][0-9]*|0x[0-9a-f]+)"
NUMBER = re.compile(f"-?{INTEGER}(/{INTEGER})?")
DOMAINS = {"box": ("lower", "upper"), "polyhedron": ("A", "b"), "everywhere": ()}
FEW = 64  # so many inputs are put in column by column
ONE = 0  # the unit that is constantly 1
FINE = 1 << 20  # by which a form is multiplied, so that slopes of lines can be integers

WORK = [0]  # what was spent
Number = int | Fraction
Form = dict[int, int]  # linear form; key u: zeta of the unit u, key -u: max(zeta_u, 0)
Scaled = tuple[Form, Fraction]  # coprime integers, and the number that multiplies them
Part = tuple[Form, Number]  # of a sum of multiples of forms
States = dict[int, bool]  # of units that are on or off
Spans = dict[int, tuple[int, int]]  # intervals, by unit
Quadratic = list[tuple[int, int, Number]]  # i, j and q: q x_i x_j, where 0 stands for 1


class Malformed(Exception):  # noqa: N818  (it is an answer, like Rejected)
    """The file is not of the documented format; as is any file that raises another error."""


class Rejected(Exception):  # noqa: N818
    """A step does not follow."""


class Neuron(NamedTuple):
    """What a neuron computes, or its positive part.

    The row speaks of the constant 1 as 0, of the inputs as 1, 2, ..., of the neurons in front
    as the numbers that follow.
    """

    name: tuple[str, int]
    relu: bool
    row: Scaled


class Model(NamedTuple):
    """A network exactly as stored; the digest is that of the file."""

    digest: str
    inputs: int
    neurons: list[Neuron]  # in topological order, at last the outputs
    quadratic: Sequence[Quadratic]  # what is a part of each output


class Unit:
    """A group of neurons: zeta as a form of earlier units, and its bounds."""

    def __init__(self, name: str, form: Form, low: int, high: int, inputs: int = 1) -> None:
        self.name, self.form, self.low, self.high = name, form, low, high
        # asked for again and again: a measure of its integers; what it reads of 1 and of inputs,
        # as a list if these are few; all else
        self.size = size(form)
        self.dense = [form.get(key, 0) for key in range(inputs if inputs <= FEW else 0)]
        self.inner = [item for item in form.items() if not 0 <= item[0] < len(self.dense)]
        # what slopes go through: see `put_through`
        self.through = {key: value for key, value in form.items() if not 0 <= key < inputs}

    def put_through(self, units: Sequence[Unit]) -> None:
        """Put the rows of units that are only passed on, not kinked, in their places."""
        passing = [key for key in self.through if key > 0 and -key not in self.through]
        rows = [units[key].through for key in passing]
        if passing and sum(map(len, rows)) <= MAX_PUT:
            factors = [self.through.pop(key) for key in passing]
            self.through = total_of([1, *factors], [self.through, *rows])
        self.reads = {abs(key) for key in self.through}


# --------------------------------------------------------------------- reading (section 2)


def need(condition: object, message: str) -> None:
    """Raise :class:`Malformed` unless the condition holds."""
    if not condition:
        raise Malformed(message)


def hold(condition: object, message: str) -> None:
    """Raise :class:`Rejected` unless the condition holds."""
    if not condition:
        raise Rejected(message)


def spend(bits: int, other: int) -> None:
    """Count products of a number of so many bits; ``other`` is the size of what it multiplies."""
    WORK[0] += (bits + 4096) * other >> 10
    if bits > MAX_BITS or WORK[0] > MAX_WORK:
        raise Malformed("too many digits, or the work is more than anybody should be asked for")


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object without repeated keys."""
    need(len(dict(pairs)) == len(pairs), "a key is repeated")
    return dict(pairs)


def parse(raw: bytes) -> Any:
    """Read JSON."""
    return json.loads(raw.decode(), object_pairs_hook=distinct)


def only(record: Any, *keys: str) -> list[Any]:
    """Return the values of an object that has these keys, and no other ones."""
    need(isinstance(record, dict) and record.keys() == {*keys}, f"the keys are not {keys}")
    return [record[key] for key in keys]


def natural(value: Any, limit: int) -> int:
    """Return an integer in ``range(limit)``."""
    need(type(value) is int and 0 <= value < limit, f"an index is no integer from 0 to {limit - 1}")
    return int(value)


def doubles(texts: list[Any]) -> list[float]:
    """Read finite doubles, written as ``float.hex`` writes them."""
    numbers = list(map(float.fromhex, texts))
    if list(map(float.hex, numbers)) == texts and all(map(isfinite, numbers)):
        return numbers
    raise Malformed(f"these are not all hexadecimal doubles: {str(texts)[:80]}")


def ratio(text: Any) -> tuple[int, int]:
    """Read a number like "-3", "2/7" or "-0x1f/0x2b": what is above the bar, and below it."""
    if not (isinstance(text, str) and NUMBER.fullmatch(text)):
        raise Malformed(f"{str(text)[:40]!r} is no exact number")
    if len(text) > SHORT:
        spend(4 * len(text), 4 * len(text) + 64)
    top, bar, bottom = text.partition("/")
    return int(top, 0), int(bottom, 0) if bar else 1


def rational(text: Any) -> Number:
    """Read a number; integers are ints."""
    top, bottom = ratio(text)
    return top if bottom == 1 else Fraction(top, bottom)


def rationals(items: Any, count: int) -> list[Number]:
    """Read a list of so many numbers."""
    need(isinstance(items, list) and len(items) == count, f"a list of {count} numbers is needed")
    return list(map(rational, items))


def text_of(value: Number) -> str:
    """Write a number in lowest terms, in hexadecimal beyond 64 bits."""
    top, bottom = value.numerator, value.denominator
    style = "d" if max(abs(top), bottom) < 1 << 64 else "#x"
    return format(top, style) + ("" if bottom == 1 else f"/{bottom:{style}}")


def canonical(value: Any) -> Any:
    """Return a number in canonical form, or nested lists of numbers."""
    return [*map(canonical, value)] if isinstance(value, list) else text_of(rational(value))


def digest(domain: Any) -> str:
    """Return the hash of a domain in canonical numbers (section 1)."""
    return hashlib.sha256(json.dumps(domain, separators=(",", ":")).encode()).hexdigest()


def shown(record: Any) -> str:
    """Return a record as JSON, and how long it is where the end is left out."""
    text = json.dumps(record)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"


def read_rows(bias: Any, weights: Any, numbers: Mapping[str, range]) -> Iterator[Scaled]:
    """Read the rows of a block, which speak of the numbers of what they multiply."""
    rows = [{0: number} for number in doubles(bias)]
    for source, more in weights.items():
        for row, items in zip(rows, more, strict=True):
            columns = items[::2]
            need({*map(type, columns)} <= {int}, "the columns must be integers")
            need(sorted({-1, *columns}) == [-1, *columns], "the columns must increase, from 0 on")
            keys = map(numbers[source].__getitem__, columns)
            row.update(zip(keys, doubles(items[1::2]), strict=True))
    for row in rows:
        ratios = {key: value.as_integer_ratio() for key, value in row.items()}
        divisor = max(below for _, below in ratios.values())  # all are powers of 2
        form = {key: top * (divisor // below) for key, (top, below) in ratios.items()}
        yield form, Fraction(1, divisor)


def read_model(raw: bytes) -> Model:
    """Read a network as ``jensen export`` writes it."""
    need(raw[:1] == b"{", "the model must be the JSON file that `jensen export` writes")
    need(len(raw) <= MAX_MODEL, "the file is too large")
    head = parse(raw)
    wanted = QUADRATIC_FORMAT if "quadratic" in head else MODEL_FORMAT
    keys = "format", "inputs", "blocks", "quadratic"
    form, inputs, blocks, quadratic = only({"quadratic": ()} | head, *keys)
    need(form == wanted, f"the format is not {wanted}")
    numbers = {"input": range(1, natural(inputs, MAX_INPUTS) + 1)}
    neurons: list[Neuron] = []
    for block in blocks:
        name, relu, bias, weights = only(block, "name", "relu", "bias", "weights")
        need(isinstance(name, str) and name not in numbers, f"block {name!r} is repeated")
        need(isinstance(relu, bool) and bias, f"{name}: relu and bias are needed")
        start, rows = inputs + 1 + len(neurons), read_rows(bias, weights, numbers)
        neurons += [Neuron((name, index), relu, row) for index, row in enumerate(rows)]
        numbers[name] = range(start, start + len(bias))
    need(name == "output" and not relu, "no affine output")
    terms = [[]] * len(bias) if quadratic == () else quadratic
    need(len(terms) == len(bias), "a quadratic function per output is needed")
    quadratics = [
        [(natural(i, inputs + 1), natural(j, inputs + 1), rational(q)) for i, j, q in part]
        for part in terms
    ]
    return Model(hashlib.sha256(raw).hexdigest(), inputs, neurons, quadratics)


class Lines:
    """The lines of a certificate, gzipped or not, within limits; ``number`` is the last."""

    def __init__(self, path: str) -> None:
        self.path, self.number = path, 0

    def __iter__(self) -> Iterator[Any]:
        with open(self.path, "rb") as raw:
            file: Any = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
            while line := file.readline(MAX_LINE + 1):
                self.number += 1
                short = len(line) <= MAX_LINE and file.tell() <= MAX_FILE
                need(short, "the line or the file is too long")
                record = parse(line)
                need(isinstance(record, list if self.number > 1 else dict), "no claim, or no rule")
                yield record


def expect(lines: Iterator[Any], wanted: str) -> list[Any]:
    """Read a line that must be there, and return its arguments."""
    name, *arguments = next(lines, [None])
    need(name == wanted, f"a line {wanted!r} is needed here")
    return arguments


# --------------------------------------------------------------------------------- forms


def longest(numbers: Iterable[int]) -> int:
    """Return how many bits the longest of some integers has."""
    return max(map(int.bit_length, numbers), default=0)


def size(form: Form) -> int:
    """Return how many bits the integers of a form have together, and 64 for each."""
    return sum(map(int.bit_length, form.values()), 64 * len(form))


def integers(numbers: Sequence[Number]) -> tuple[list[int], int]:
    """Return the numbers times their least common denominator, and this."""
    scale, ratios = 1, [number.as_integer_ratio() for number in numbers]
    for bottom in {bottom for _, bottom in ratios}:
        scale = lcm(scale, bottom)
        spend(scale.bit_length(), bottom.bit_length() + 64)
    return [top * (scale // bottom) for top, bottom in ratios], scale


def total_of(factors: Sequence[int], forms: Sequence[Form]) -> Form:
    """Return the sum of multiples of forms; what cancels disappears."""
    total: Form = {}
    spend(longest(factors), sum(map(size, forms)))
    for factor, form in zip(factors, forms, strict=True):
        for key, value in form.items():
            total[key] = total.get(key, 0) + factor * value
    return {key: value for key, value in total.items() if value}


def substitute(form: Form, factor: Fraction, values: Any) -> Scaled:
    """Put forms, which are found by key, in the place of the keys of ``factor * form``."""
    scales, scale = integers([values[key][1] for key in form])
    total = total_of(list(map(mul, form.values(), scales)), [values[key][0] for key in form])
    spend(longest(total.values()), size(total))
    content = gcd(*total.values())
    if content > 1:
        total = {key: value // content for key, value in total.items()}
    return total, factor * Fraction(content, scale)


def mix(parts: Sequence[Part]) -> Scaled:
    """Return the sum of rational multiples of forms."""
    return substitute(dict.fromkeys(range(len(parts)), 1), Fraction(1), parts)


def cleared(form: Form, other: Form, key: int) -> Form:
    """Add a multiple of another form, so that a key disappears; up to a positive factor."""
    return mix([(form, 1), (other, Fraction(-form.get(key, 0), other[key]))])[0]


def multiple(form: Form, normal: Form) -> Fraction | None:
    """Return c with form = c * normal, if there is one."""
    key = min(normal)
    return None if cleared(form, normal, key) else Fraction(form.get(key, 0), normal[key])


# -------------------------------------------------------------- claims (sections 1 and 3)


class Claim:
    """The first line: what is claimed, and where.

    Forms speak of t, which is 1 on a box, as 0, and of input i as i + 1.
    """

    def __init__(self, head: Any, model: Model) -> None:
        keys, n = ("format", "model", "claim", "output", "domain", "inputs"), model.inputs
        record = {"inputs": list(range(n))} | head
        version, name, self.kind, output, domain, inputs = only(record, *keys)
        need(version in FORMATS, f"the format is not {FORMAT}")
        hold(name == model.digest, "the certificate is about another model")
        need(self.kind in ("convex", "concave", "nonconvex", "nonconcave"), "unknown claim")
        self.sign = -1 if self.kind.endswith("concave") else 1
        self.output = natural(output, len(model.quadratic))
        self.inputs = [natural(i, n) for i in inputs]
        increase = inputs == sorted({*inputs}) != []
        need(increase, "the inputs of the claim must be a list, and increase")
        kind = domain["type"]
        self.domain = {"type": kind} | {key: canonical(domain[key]) for key in DOMAINS[kind]}
        only(domain, *self.domain)
        # ranges of t and the inputs on the work domain; what they are, where the domain says
        # so, or the equations of a polyhedron; its rows b t - a x >= 0
        self.lifted = kind != "box"
        self.ranges: list[tuple[Number, Number]] = [(0, 1), *[(-1, 1)] * n]
        single: list[Form] = [{key: 1} for key in range(n + 1)]
        self.values: list[Scaled] = [(form, Fraction(1)) for form in single]
        self.rows: list[Scaled] = []
        if kind == "box":
            lower, upper = (rationals(domain[side], n) for side in ("lower", "upper"))
            self.ranges = [(1, 1), *zip(lower, upper, strict=True)]
            need(all(low <= high for low, high in self.ranges), "the box is empty")
            for key, (low, high) in enumerate(self.ranges):
                if low == high:
                    self.values[key] = mix([(single[0], low)])
        elif kind == "polyhedron":
            for a, b in zip(domain["A"], rationals(domain["b"], len(domain["A"])), strict=True):
                factors = [b, *(-v for v in rationals(a, n))]
                self.rows.append(mix([*zip(single, factors, strict=True)]))

    def __str__(self) -> str:
        partial = len(self.inputs) < len(self.ranges) - 1
        some = f" in inputs {shown(self.inputs)}" if partial else ""
        where = f"domain {shown(self.domain)}, SHA-256 {digest(self.domain)}"
        return f"output {self.output} is {self.kind}{some}, {where}"

    def slacks(self, x: list[Number]) -> list[Number]:
        """Return what rows other than 0 >= 0 are at a point, up to positive factors."""
        point = [1, *x]
        return [sum(v * point[key] for key, v in form.items()) for form, _ in self.rows if form]

    def contains(self, x: list[Number]) -> bool:
        """Decide whether a point lies in the domain."""
        sides = () if self.lifted else zip([1, *x], self.ranges, strict=True)
        within = all(low <= v <= high for v, (low, high) in sides)
        return within and min(self.slacks(x), default=0) >= 0


# ------------------------------------------------------------------- groups (section 4)


class Network:
    """The claimed output and the groups in front of it, as integer forms on the work domain.

    Unit 0 is constantly 1. Then come t, if lifted, the free inputs, and the groups of
    neurons in topological order, last the output. ``rows`` are those of a polyhedron,
    ``moving`` the inputs of the claim, ``kinks`` the units that may bend the output, which is
    ``scale`` times the last one, but for the sign of the claim.
    """

    def __init__(self, model: Model, claim: Claim, bounds: dict[Any, Any]) -> None:
        self.units, self.inputs, self.bits = list[Unit](), 1, 1
        self.walked = set[int]()  # groups that are left to `rule_walk`
        self.ranges: list[tuple[int, int]] = []  # of the units
        self._append("the quadratic function", {}, 1, 1)
        self.neurons: dict[tuple[Any, ...], tuple[int, Fraction]] = {}  # z = factor * zeta_unit
        self._known: dict[frozenset[Any], tuple[int, int]] = {}  # unit and sign, by row
        self._bounds = bounds
        free = self._inputs(claim)
        values = [substitute(*value, free) for value in claim.values]
        self.rows = [substitute(*row, free) for row in claim.rows]
        self.moving = {unit for i in claim.inputs if i + 1 in free for unit in free[i + 1][0]}
        # of the cube around the origin, by unit and side; unit 1 is t, which is not negative
        cube = range(1, self.inputs) if claim.lifted else ()
        self.faces = {*cube, *(-unit for unit in cube if unit > 1)}
        outputs = len(model.quadratic)
        for neuron in model.neurons[:-outputs]:
            values.append(self._neuron(neuron, values))
        need(not self._bounds, "there are bounds of what is not the first neuron of a group")
        zeta, self.scale = substitute(*model.neurons[claim.output - outputs].row, values)
        self.output = self._append("output", {k: claim.sign * v for k, v in zeta.items()}, 0, 0)
        self.slopes = self._slopes()
        self.kinks = {-key for key, slope in self.slopes.items() if key < 0 and any(slope)}

    def _inputs(self, claim: Claim) -> dict[int, Scaled]:
        """Add units for t and the inputs that are free; return these as forms of units, by key."""
        free: dict[int, Scaled] = {} if claim.lifted else {0: ({ONE: 1}, Fraction(1))}
        for key, (low, high) in enumerate(claim.ranges):
            if key in claim.values[key][0] and key not in free:
                ends, scale = integers([low, high])
                free[key] = {self._append("input", {}, *ends): 1}, Fraction(1, scale)
        self.inputs = len(self.units)
        return free

    def _append(self, name: str, form: Form, low: int, high: int) -> int:
        """Add a unit and return its number."""
        unit = Unit(name, form, low, high, self.inputs)
        unit.put_through(self.units)
        self.units.append(unit)
        self.ranges.append((low, high))
        self.bits = max(self.bits, longest((low, high)))  # of the longest bound
        return len(self.units) - 1

    def _neuron(self, neuron: Neuron, values: Sequence[Scaled]) -> Scaled:
        """Return z or max(z, 0); neurons with proportional z share a unit."""
        (block, index), relu, row = neuron
        zeta, factor = substitute(*row, values)
        key, opposite = frozenset(zeta.items()), frozenset((k, -v) for k, v in zeta.items())
        if key not in self._known:
            lower, upper = self.multipliers(block, index, zeta)
            node = Node(self, ONE, {})
            low, high = -rule_bound(node, zeta, -1, lower), rule_bound(node, zeta, 1, upper)
            unit = self._append(f"{block}[{index}]", zeta, low, high)
            self._known |= {opposite: (unit, -1), key: (unit, 1)}
        unit, sign = self._known[key]
        factor = factor if sign > 0 else -factor
        self.neurons[block, index] = unit, factor
        if not relu:
            return {unit: 1}, factor
        low, high = self.ranges[unit]
        positive = {} if high <= 0 else {unit if low >= 0 else -unit: 1}
        # max(c zeta, 0) = |c| max(zeta, 0) + min(c, 0) zeta
        return total_of([1, -(factor < 0)], [positive, {unit: 1}]), abs(factor)

    def multipliers(self, block: str, index: int, _zeta: Form) -> Any:
        """Return what the certificate says about the bounds of a new unit: lower, upper."""
        return self._bounds.pop((block, index), (None, None))

    def unit(self, *name: Any) -> int:
        """Return the unit of a neuron, named by block and index."""
        if not (type(name[-1]) is int and name in self.neurons):
            raise Malformed(f"there is no neuron {name!s:.60}")
        return self.neurons[name][0]

    def _slopes(self) -> Spans:
        """Return intervals of the slope of the output over every key, whatever the pattern."""
        slopes = {self.output: (1, 1)} if self.moving else {}
        for k in range(self.output, self.inputs - 1, -1):
            (low, high), jump = slopes.get(k, (0, 0)), slopes.get(-k, (0, 0))
            low, high = low + min(jump[0], 0), high + max(jump[1], 0)
            spend(longest((low, high)), self.units[k].size)
            for key, factor in self.units[k].through.items() if low or high else ():
                a, b = slopes.get(key, (0, 0))
                least, most = (low, high) if factor > 0 else (high, low)
                slopes[key] = a + factor * least, b + factor * most
        return slopes


class Node:
    """A node of the tree of a group, or of one face, or the whole work domain (group ONE)."""

    def __init__(self, net: Network, group: int, fixed: States, face: int = 0) -> None:
        # what is on or off; among it the group: max(zeta, 0) is 0 on its hyperplane
        self.net, self.group, self.fixed, self.root = net, group, fixed, dict(fixed)
        self.face, self.ranges = face, [*net.ranges] if group else net.ranges
        if face:
            self.ranges[abs(face)] = (1, 1) if face > 0 else (-1, -1)
        self.sides = self.ranges[1 : net.inputs]
        # slopes of all units over max(zeta, 0) of the group, as known at the root of the tree:
        # their intervals, and as forms of states and products; the intervals where `last` is fixed
        self.spans: Spans = {}
        self.jumps: dict[int, Form] = {}
        self.last, self.last_spans = States(), {group: (1, 1)}
        self.cuts: list[Part] = []  # rows that hold on the hyperplane

    def bounds(self, k: int) -> tuple[int, int]:
        """Return the range of a unit, of a state (0 or 1), or of a product of state and slope."""
        kind, unit = divmod(k, len(self.net.units))
        if kind < 2:
            states = self.fixed.get(unit, False), self.fixed.get(unit, True)
            return states if kind else self.ranges[unit]
        low, high = self.spans.get(unit, (0, 0))
        return min(low, 0), max(high, 0)

    def largest(self, form: Form) -> int:
        """Return an upper bound of a form: over the ranges of its variables, each by itself."""
        bound, ranges, count = form.get(ONE, 0), self.ranges, len(self.ranges)
        spend(self.net.bits, size(form))
        for k, value in form.items():
            low, high = ranges[abs(k)] if k < count else self.bounds(k)
            if k > 0 and -k in form:  # a unit together with its positive part
                ends = low, high, min(max(low, 0), high)
                bound += max([value * z + form[-k] * max(z, 0) for z in ends])
            elif k > 0:
                bound += value * (high if value > 0 else low)
            elif -k not in form:
                bound += value * max(high if value > 0 else low, 0)
        return bound

    def narrow(self, unit: int, lower: Any, upper: Any) -> None:
        """Bound a unit on the hyperplane; what is not 0 there is on, or off, at every facet."""
        hold(unit not in self.fixed, "a unit with a bound is already decided")
        low, high = self.ranges[unit]
        if lower is not None:
            low = max(low, -rule_bound(self, {unit: 1}, -1, lower))
        if upper is not None:
            high = min(high, rule_bound(self, {unit: 1}, 1, upper))
        self.ranges[unit] = low, high
        if low > 0 or high < 0:
            self.fixed[unit] = self.root[unit] = low > 0
            self.jumps = {}

    def cut(self, unit: int, at_off: Any, at_on: Any, numbers: Any) -> None:
        """Bound a multiple of max(zeta, 0) by the inputs, on the hyperplane: of 0 and of zeta."""
        (factor, *slopes), _ = integers(rationals(numbers, self.net.inputs))
        form, sides = dict(enumerate([0, *slopes])), ((0, at_off), (-factor, at_on))
        form[ONE] = max(rule_bound(self, {unit: v, **form}, -1, side) for v, side in sides)
        self.cuts.append(({-unit: -factor, **form}, 1))

    def least_jump(self, fixed: States) -> int:
        """Bound the slope of the output over max(zeta, 0) of the group from below.

        Only what units with other states than when this was asked last pass on is carried on;
        where the slope is 0 they pass on nothing. ``last_spans`` are intervals of all slopes.
        """
        units, found, fixed = self.net.units, self.last_spans, fixed | {self.group: True}
        stale = {h for h in found if fixed.get(h) != self.last.get(h)}
        self.last = fixed
        for k in range(self.group + 1, self.net.output + 1) if stale else ():
            unit, low, high = units[k], 0, 0
            if unit.reads.isdisjoint(stale):
                continue
            for h in unit.reads & found.keys():
                off = unit.through.get(h, 0) if h != self.group else 0  # over max(zeta, 0) alone
                on = off + unit.through.get(-h, 0)
                if h in fixed:
                    off = on = on if fixed[h] else off
                a, b = found[h]
                ends = off * a, off * b, on * a, on * b
                low, high = low + min(ends), high + max(ends)
            spend(longest((low, high)), unit.size)
            if (low, high) != found.pop(k, (0, 0)):
                stale.add(k)
            if low or high:
                found[k] = low, high
        return found.get(self.net.output, (0, 0))[0]

    def open_states(self) -> dict[int, Form]:
        """Return how slopes over max(zeta, 0) of the group depend on the root's open states.

        By unit k its slope S_k, by -k what it passes on: a_k S_k.
        """
        if self.jumps:
            return self.jumps
        count, self.jumps = len(self.net.units), {-self.group: {ONE: 1}}
        self.least_jump(self.root)
        self.spans = dict(self.last_spans)
        for k in range(self.group + 1, self.net.output + 1):
            row = self.net.units[k].form
            keys = [*row.keys() & self.jumps.keys()]
            slope = total_of([row[key] for key in keys], [self.jumps[key] for key in keys])
            constant = {count + k: slope[ONE]} if slope.keys() == {ONE} else {2 * count + k: 1}
            passed = constant if k not in self.root else slope if self.root[k] else {}
            if slope:
                self.jumps |= {k: slope, -k: passed}
        return self.jumps

    def put_in(self, form: Form, *, lines: bool) -> tuple[list[int], Form]:
        """Put in the rows of all units: the sum by input, and what it has of max(zeta_h, 0).

        With lines for these nothing is left of them, and the sum is nowhere less.
        """
        net, units, fixed, ranges = self.net, self.net.units, self.fixed, self.ranges
        total = [0] * (2 * len(units))  # by key; those below 0 count from the end
        for key, value in form.items():
            total[key] = value
        kept, passed, slopes = dict[int, int](), list[Unit](), list[int]()
        for h in range(max(map(abs, form), default=0), net.inputs - 1, -1):
            kink, slope = total[-h], total[h]
            if kink:
                if h in fixed:
                    slope += kink * fixed[h]
                elif not lines:
                    kept[-h] = kink
                else:
                    low, high = ranges[h]
                    if kink > 0:  # as tilt is rounded down, what is over high is over low, too
                        tilt = kink * high // (high - low or 1)
                        total[ONE] += (kink - tilt) * high
                        slope += tilt
                    elif high > -low:
                        slope += kink
            if slope:
                unit = units[h]
                passed.append(unit)
                slopes.append(slope)
                for key, value in unit.inner:
                    total[key] += slope * value
        for key, column in enumerate(zip(*[unit.dense for unit in passed], strict=True)):
            total[key] += sum(map(mul, slopes, column))
        bits, more = longest(slopes), sum([unit.size for unit in passed])
        spend(bits + net.bits, more + (bits + 64) * net.inputs + 64 * len(units))
        return total, kept

    def expand(self, form: Form) -> Form:
        """Write a form in the inputs, and in max(zeta_h, 0) of units that are not fixed."""
        total, kept = self.put_in(form, lines=False)
        return {key: total[key] for key in range(self.net.inputs) if total[key]} | kept

    def line(self, zeta: Form, k: int, c: int) -> int:
        """Bound a form, or minus it, by lines and a multiple of the group that vanishes here.

        On a hyperplane the form is a unit; on the whole domain there is no such multiple.
        """
        need(self.group or not c, "there is no hyperplane here")
        net, units = self.net, self.net.units
        row, normal = units[max(zeta, default=ONE)], units[self.group]
        if len(zeta) == 1 and self.group and net.inputs <= FEW and not (row.inner or normal.inner):
            spend(k.bit_length() + c.bit_length() + net.bits, row.size + normal.size)
            total = [k * v + c * w for v, w in zip(row.dense, normal.dense, strict=True)]
        else:
            k *= FINE
            total, _ = self.put_in(total_of([k, FINE * c], [zeta, {self.group: 1}]), lines=True)
        pairs = zip(total[1 : net.inputs], self.sides, strict=True)
        bound = total[ONE] + sum([v * (high if v > 0 else low) for v, (low, high) in pairs])
        return -(-bound // abs(k))

    def strict(self, kind: Any, *where: Any) -> bool:
        """Whether a row is positive inside a facet, and not only not negative."""
        if kind != "sign":
            return bool(kind == "domain" and self.net.rows[where[0]][0])
        group, form = self.expand({self.group: 1}), self.expand({self.net.unit(*where): 1})
        return bool(group) and min([*group, *form]) >= ONE and multiple(form, group) is None

    def row(self, kind: Any, *where: Any) -> list[Part]:  # noqa: PLR0911  (a table)
        """Return a row of section 5, which is >= 0, as a sum of forms with factors."""
        net, count = self.net, len(self.net.units)
        need(self.group or kind not in ("facet", "jump", "product"), "there is no hyperplane here")
        unit = net.unit(*where[:2]) if where[1:] else ONE
        low, high = self.ranges[unit]
        match kind, *where:
            case "above", _, _:
                return [({-unit: 1, unit: -1}, 1)]
            case "below", _, _:
                hold(low < 0 < high, "a unit does not change its sign")
                return [({unit: high, -unit: low - high, ONE: -high * low}, 1)]
            case "on" | "off", _, _:
                number, product, form = 0 if kind == "on" else 2, -unit, {unit: 1}
            case "sign", _, _:
                hold(unit in self.fixed, "a unit is neither on nor off here")
                return [({unit: 1}, 1 if self.fixed[unit] else -1)]
            case "product", _, _, number:
                product, form = unit + 2 * count, self.open_states().get(unit, {})
                low, high = self.spans.get(unit, (0, 0))
            case ("facet",):
                return [({self.group: 1}, 1)]
            case ("jump",):
                return [(self.open_states().get(net.output, {}), -1), ({ONE: 1}, -1)]
            case "domain" | "cut", index:
                rows = net.rows if kind == "domain" else self.cuts
                return [rows[natural(index, len(rows))]]
            case _:
                raise Malformed(f"there is no such row: {kind!s:.20}")
        # a product P = a Y: the state a is 0 or 1, and Y, the form, between the ends
        end, sign = high if natural(number, 4) in (0, 3) else low, 1 if number in (0, 2) else -1
        hold(unit != self.group, "the group itself has no state")
        if number < 2:  # end a - P
            return [({unit + count: end, product: -1}, sign)]
        # Y - P - end (1 - a)
        return [(form, sign), ({unit + count: end, product: -1, ONE: -end}, sign)]

    def combine(self, entries: Any, form: Form) -> Scaled:
        """Add multiples of rows to a form; return the sum, and its factor."""
        need(isinstance(entries, list), "the multipliers must be a list")
        parts: list[Part] = [(form, 1)]
        for kind, *where, text in entries:
            y, row = rational(text), self.row(kind, *where)
            hold(y > 0 or kind == "facet", "a multiplier is not positive")
            parts += [(part, y * factor) for part, factor in row]
        total, scale = mix(parts)
        states = {key: total.pop(key) for key in [*total] if key >= len(self.net.units)}
        return self.expand(total) | states, scale


# --------------------------------------- rules (section 5): they raise, or what they say holds


def evaluate(model: Model, output: int, x: list[Number]) -> Number:
    """Return an output of the network at a point."""
    point: list[Number] = [1, *x]
    values = [mix([({ONE: 1}, v)]) for v in point]
    for neuron in model.neurons:
        form, c = substitute(*neuron.row, values)
        values.append(({}, c) if neuron.relu and form.get(ONE, 0) < 0 else (form, c))
    terms = model.quadratic[output]
    most = longest(part for v in (*point, *(q for *_, q in terms)) for part in v.as_integer_ratio())
    spend(2 * most, 320 * len(terms) * (most + 64))
    form, c = values[output - len(model.quadratic)]
    return c * form.get(ONE, 0) + sum(q * point[i] * point[j] for i, j, q in terms)


def rule_pair(model: Model, claim: Claim, x: list[Number], y: list[Number]) -> None:
    """Two points of the domain whose midpoint lies above the chord, exactly."""
    hold(claim.contains(x) and claim.contains(y), "a point lies outside the domain")
    moved = {i for i, (a, b) in enumerate(zip(x, y, strict=True)) if a != b}
    hold(moved <= {*claim.inputs}, "the points differ in an input that the claim keeps fixed")
    middle: list[Number] = [Fraction(a + b) / 2 for a, b in zip(x, y, strict=True)]
    fx, fy, fm = (claim.sign * evaluate(model, claim.output, point) for point in (x, y, middle))
    hold(2 * fm > fx + fy, "the pair does not violate midpoint convexity")


def rule_interior(claim: Claim, point: list[Number], equations: Any, box: Any = None) -> None:
    """Solve equations for inputs; the point lies strictly inside all rows that remain.

    Sums of the rows >= 0 that are opposite to each other are equal to 0. With a box around
    the polyhedron this is not lifted.
    """
    hold(claim.contains(point), "the point lies outside the polyhedron")
    count = len(claim.rows)
    need(not equations or len(claim.inputs) == len(point), "a partial claim allows no equations")
    for index, *sides in equations:
        above, below = (
            [(form, y * c) for (form, c), y in zip(claim.rows, rationals(side, count), strict=True)]
            for side in sides
        )
        (form, _), (left, _), key = mix(above), mix(above + below), natural(index, len(point)) + 1
        positive = min(y for _, y in above + below) >= 0
        hold(positive and key in form and not left, f"input {index} is not shown to be determined")
        divisor = -form.pop(key)
        claim.values[key] = form, Fraction(1, divisor)
    for form, _ in claim.values:
        hold(all(key in claim.values[key][0] for key in form), "the equations are not solved")
    claim.rows = [substitute(*row, claim.values) for row in claim.rows]
    hold(all(slack > 0 for slack in claim.slacks(point)), "the point is not inside the polyhedron")
    if box is not None:
        rule_box(claim, point, box)


def rule_box(claim: Claim, point: list[Number], box: Any) -> None:
    """No way from the point leaves the polyhedron's box: t is 1, and nothing is lifted.

    With a positive sum of rows added, no input that is left is beyond its side on the box.
    """
    free = [key for key, (form, _) in enumerate(claim.values) if key and key in form]
    claim.lifted, claim.ranges[0] = False, (1, 1)
    for key, (low, high, _, _) in zip(free, box, strict=True):
        claim.ranges[key] = ends = rational(low), rational(high)
        hold(ends[0] <= point[key - 1] <= ends[1], "the point is not inside the box")
    for key, (_, _, *sides) in zip(free, box, strict=True):
        for sign, end, entries in zip((-1, 1), claim.ranges[key], sides, strict=True):
            y = {natural(i, len(claim.rows)): rational(text) for i, text in entries}
            rows = [(form, v * c) for i, v in y.items() for form, c in [claim.rows[i]] if form]
            hold(rows and min(y.values()) > 0, "a side of the box needs positive multipliers")
            total, factor = mix([({key: sign}, 1), *rows])
            largest = {k: ({0: 1}, claim.ranges[k][v > 0]) for k, v in total.items()}
            form, factor = substitute(total, factor, largest)
            hold(factor * form.get(0, 0) <= sign * end, "the box may be too small")


def rule_bound(node: Node, zeta: Form, sign: int, side: Any) -> int:
    """Bound a form, or minus it, from above.

    By lines, by intervals, or by multipliers of rows.
    """
    if isinstance(side, str):
        top, bottom = ratio(side)
        return node.line(zeta, sign * bottom, top)
    form = {key: sign * value for key, value in zeta.items()}
    total, factor = (form, 1) if side is None else node.combine(side, form)
    return ceil(factor * node.largest(total))


def rule_quadratic(model: Model, claim: Claim) -> None:
    """Along directions of the domain the quadratic function does not bend downwards.

    Its form in the free coordinates of these directions is a sum of squares: LDL'. The rows
    of the matrix are right up to positive factors.
    """
    moving = {i + 1 for i in claim.inputs}  # not t; what equations determine moves with others
    ways = [({k: v for k, v in form.items() if k in moving}, c) for form, c in claim.values]
    rows: dict[int, list[Part]] = {}  # Q V, and then V' Q V
    for i, j, q in model.quadratic[claim.output]:
        for one, (form, c) in ((i, ways[j]), (j, ways[i])):
            rows.setdefault(one, []).append((form, claim.sign * q * c))
    parts: dict[int, list[Part]] = {}
    for i, row in rows.items():
        form, c = mix(row)
        for key, v in ways[i][0].items():
            parts.setdefault(key, []).append((form, v * c * ways[i][1]))
    matrix = {key: mix(some)[0] for key, some in parts.items()}
    while matrix:
        key, pivots = matrix.popitem()
        pivot = pivots.get(key, 0)
        hold(pivot > 0 or not pivots, "the quadratic function bends downwards")
        for k in pivots.keys() & matrix.keys():
            matrix[k] = cleared(matrix[k], pivots, key)


def rule_path_signs(net: Network) -> set[int]:
    """Whatever the pattern, these groups do not bend the function downwards."""
    return {unit for unit in net.kinks if net.slopes[-unit][0] >= 0}


def rule_sign(node: Node) -> None:
    """No pattern below this node bends the function downwards."""
    hold(node.least_jump(node.fixed) >= 0, "the gradient jump may be negative")


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
    """Of such a facet, the two pieces of the function that meet are known: it bends upwards.

    They are known but for units that are not fixed: these do not bend downwards here.
    """
    net, normal, zero = node.net, node.expand({node.group: 1}), {node.group}
    hold(min(normal, default=-ONE) >= ONE and normal, "the hyperplane is still open")
    for unit in net.kinks - zero:
        form = node.expand({unit: 1})
        affine, other = min(form, default=ONE) >= ONE, multiple(form, normal) is None
        if unit not in node.fixed:
            affine = (other and affine) or net.slopes[-unit][0] >= 0
        elif not other:  # else it has the same sign on both sides
            zero.add(unit)
        hold(affine, "the pattern is still open")
    on = bits_of(unit for unit in node.fixed if node.fixed[unit])
    free = bits_of(net.kinks - node.fixed.keys())
    hold(bends_up(net, on, bits_of(zero), free), "it may bend downwards here")


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


# ------------------------------------------------------------- cells (section 5, `walk`)


class Corner(NamedTuple):
    """A vector, what all keys are there, and which units are positive, and negative, in bits."""

    vector: tuple[int, ...]
    values: list[int]
    above: int
    below: int


class Cone(NamedTuple):
    """What lines, in both directions, and rays generate; none of them can be left out."""

    lines: list[Corner]
    rays: list[tuple[Corner, int]]  # and which forms that bound the cone vanish there, in bits
    forms: int  # that bound it


Place = Callable[[tuple[int, ...]], Corner]


def bits_of(numbers: Iterable[int]) -> int:
    """Return a set of numbers as bits."""
    return sum([1 << k for k in {*numbers}])


def value_of(form: Form, values: list[int]) -> int:
    """Return a form where all keys have these values; those below 0 count from the end."""
    return sum(map(mul, form.values(), map(values.__getitem__, form)))


def corner(net: Network, vector: tuple[int, ...]) -> Corner:
    """Go through the network, from a vector of 1 or t and the inputs."""
    values, above, below = [0] * (2 * net.output + 1), 0, 0
    values[net.inputs - len(vector) : net.inputs] = vector
    bits = longest(vector)
    for k in range(net.inputs, net.output):
        unit = net.units[k]
        spend(bits, unit.size)
        values[k] = zeta = value_of(unit.form, values)
        bits = max(bits, zeta.bit_length())
        if zeta > 0:
            values[-k], above = zeta, above | 1 << k
        elif zeta:
            below |= 1 << k
    return Corner(vector, values, above, below)


def between(place: Place, c: int, one: Corner, d: int, other: Corner) -> Corner:
    """Return a sum of multiples of two corners, up to a positive factor."""
    spend(longest((c, d)), len(one.vector) * (longest(one.vector) + longest(other.vector) + 128))
    total = [c * x + d * y for x, y in zip(one.vector, other.vector, strict=True)]
    content = gcd(*total)
    return place(tuple([v // content for v in total]))


def cut(place: Place, cone: Cone, form: Form) -> list[Cone]:
    """Return where a form is >= 0 in a cone, where it is <= 0, and where it is 0."""
    bit, kept, zero = 1 << cone.forms, cone.lines, list[tuple[Corner, int]]()
    lines, rays = (
        [(value_of(form, one.values), one, at) for one, at in some]
        for some in ([(line, 0) for line in cone.lines], cone.rays)
    )
    spend(longest(form.values()), sum([c.bit_length() + 64 for c, *_ in lines + rays]) * len(form))
    slope, lead, _ = next((some for some in lines if some[0]), (0, None, 0))
    if lead:  # all else is moved along this line, to where the form is 0
        ahead, back = (between(place, s, lead, 0, lead) for s in (slope, -slope))
        up, down = [(ahead, bit - 1)], [(back, bit - 1)]
        kept = [between(place, abs(slope), one, -c, ahead) for c, one, _ in lines if one != lead]
        zero = [(between(place, abs(slope), one, -c, ahead), at | bit) for c, one, at in rays]
    else:
        up, down = ([(one, at) for c, one, at in rays if s * c > 0] for s in (1, -1))
        spend(0, 64 * len(rays) * (1 + len(up) * len(down)))
    for c, one, at in () if lead else rays:
        if not c:
            zero.append((one, at | bit))
        for d, other, there in rays if c > 0 else ():
            both = at & there  # neighbours have no third ray where all this vanishes, too
            if d < 0 and sum([not both & ~some for _, _, some in rays]) == 2:
                zero.append((between(place, c, other, -d, one), both | bit))
    return [Cone(kept, part, cone.forms + 1) for part in (up + zero, down + zero, zero)]


def bends_up(net: Network, on: int, zero: int, free: int = 0) -> bool:
    """Whether the output bends upwards where some units are 0, if others are on, or else off.

    Slopes along an input are carried through the network, ahead and behind. Those of units
    that are `free`, whose states are not known, must be the same.
    """
    for key in net.moving:
        ahead, behind = ([0] * (2 * net.output + 1) for _ in range(2))
        ahead[key] = behind[key] = 1
        for k in range(net.inputs, net.output + 1):
            form = net.units[k].form
            p, q = ahead[k], behind[k] = value_of(form, ahead), value_of(form, behind)
            spend(longest((p, q)), 2 * net.units[k].size)
            if zero >> k & 1:
                ahead[-k], behind[-k] = max(p, 0), min(q, 0)
            elif on >> k & 1:
                ahead[-k], behind[-k] = p, q
            elif p != q and free >> k & 1:
                return False
        if p != q:  # else it bends nowhere, or the input moves along these kinks
            return p > q
    return True


def domain_of(net: Network, place: Place) -> Cone:
    """Return the cone over the work domain."""
    columns = range(len(net.faces) > 0, net.inputs)
    first = columns[0]  # 1, or t
    forms = [{first: 1}, *(form for form, _ in net.rows if form)]
    for k in columns[1:] if not net.faces else ():
        forms += ({k: s, first: -s * end} for s, end in zip((1, -1), net.ranges[k], strict=True))
    cone = Cone([place(tuple([int(k == key) for k in columns])) for key in columns], [], 0)
    for form in forms:
        cone = cut(place, cone, form)[0]
    return cone


def rule_walk(net: Network, groups: set[int]) -> None:
    """Nowhere on their kinks do these groups bend the function downwards.

    The domain is cut into cells, where units that have to be known for that are linear, and
    the pieces of kinks between them are cut by all units, as far as is needed.
    """
    need(net.output < MAX_WALKED, "there are too many neurons to walk")
    hidden, needed, behind = range(net.inputs, net.output), {*groups}, [0] * net.output
    for k in reversed(hidden):
        needed |= {abs(key) for key in net.units[k].form if k in needed}
        for h in net.units[k].reads:  # what reads h, directly or through others
            behind[h] |= behind[k] | 1 << k
    splitting = bits_of(-key for k in needed for key in net.units[k].form if key < 0)
    place = lru_cache(1 << 12)(partial(corner, net))
    node = lru_cache(1 << 8)(partial(Node, net, fixed={}))
    kinks, left, stack = sorted(net.kinks), bits_of(groups), [(domain_of(net, place), False)]

    @lru_cache(1 << 14)
    def jumps_up(k: int, known: int, on: int) -> bool:
        """Whether J is not negative with these states of what reads a unit."""
        states = {h: on >> h & 1 > 0 for h in kinks if known >> h & 1}
        return node(k).least_jump(states) >= 0

    while stack:
        cone, piece = stack.pop()
        above = below = 0
        for one in [*cone.lines, *(ray for ray, _ in cone.rays)]:
            above, below = above | one.above, below | one.below
        for line in cone.lines:
            above, below = above | line.below, below | line.above
        mixed, unknown = above & below, 0
        split = mixed & splitting
        spend(0, 64 * (len(cone.rays) + net.output))
        if piece and not split:
            for k in hidden if mixed else ():
                unknown |= behind[k] if mixed >> k & 1 else 0
            known, zero = (above ^ below) & ~unknown, ~(above | below)
            here = [k for k in kinks if zero >> k & 1]
            if not unknown & left and (not mixed or all(behind[k] & known for k in here)):
                there = ((k, known & behind[k]) for k in here)
                if all(jumps_up(k, some, above & some) for k, some in there):
                    continue
            hold(mixed or bends_up(net, above, zero), "the function bends downwards")
        first = split & -split or (mixed & -mixed if piece else 0)
        for k in hidden if first or not piece else ():
            if (first or mixed & left) >> k & 1:
                ahead, back, kink = cut(place, cone, {k: 1})
                stack += [] if piece else [(kink, True)]
                stack += [(ahead, piece), (back, piece)] if first else []


LEAVES: dict[Any, Any] = {
    "sign": rule_sign, "empty": rule_empty, "smooth": rule_smooth, "side": rule_side,
    "walk": lambda node: node.net.walked.add(node.group),
}  # fmt: skip


def rule_tree(
    net: Network, lines: Iterator[Any], block: Any, index: Any,
    face: Any = 0, bounds: Any = (), cuts: Any = (),
) -> tuple[int, int]:  # fmt: skip
    """Read the tree of one group, or of one face, in preorder, on-child first; return both."""
    group = net.unit(block, index)
    need(type(face) is int and face in {0, *net.faces}, f"there is no face {face!s:.20}")
    node, path = Node(net, group, {group: False}, face), list[int]()  # of units branched on
    for *neuron, lower, upper in bounds:
        node.narrow(net.unit(*neuron), lower, upper)
    for *neuron, at_off, at_on, numbers in cuts:
        node.cut(net.unit(*neuron), at_off, at_on, numbers)
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
    if claim.kind.startswith("non"):
        rule_pair(model, claim, *(rationals(point, n) for point in expect(lines, "pair")))
        need(next(lines, None) is None, "nothing may follow the pair")
        return claim
    if claim.rows:
        point, *others = expect(lines, "interior")
        rule_interior(claim, rationals(point, n), *others)
    (bounds,) = expect(lines, "bounds")
    net = Network(model, claim, {(block, i): sides for block, i, *sides in bounds})
    # what bends: the groups that kink, and the quadratic function, which is called ONE here
    bends = net.kinks | ({ONE} if model.quadratic[claim.output] else set())
    proved = set[tuple[int, int]]()  # and at which face, or 0
    for name, *arguments in lines:
        if name == "path_signs":
            proved |= {(group, 0) for group in rule_path_signs(net, *arguments)}
        elif name == "walk":
            need(not arguments, "a walk has no arguments")
            net.walked |= {k for k in net.kinks if (k, 0) not in proved}
        elif name == "quadratic" and (ONE, 0) not in proved and ONE in bends:
            rule_quadratic(model, claim, *arguments)
            proved.add((ONE, 0))
        else:
            need(name == "tree", f"unknown rule {name!r:.40}")
            proved.add(rule_tree(net, lines, *arguments))
    proved |= {(k, 0) for k in net.walked}
    if net.walked & net.kinks:
        rule_walk(net, net.walked & net.kinks)
    faced = {k for k in bends if net.faces and proved >= {(k, face) for face in net.faces}}
    missing = sorted(net.units[k].name for k in bends - faced if (k, 0) not in proved)
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
