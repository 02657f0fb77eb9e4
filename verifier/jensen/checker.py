"""Check a ``jensen-certificate/1`` against a model: standard library and integers only.

Run as ``python checker.py MODEL CERTIFICATE``. Exit code 0: accepted, the claim is proved;
1: rejected, with the first wrong line; 2: the model or the certificate is malformed.
The format, and the proof that an accepted claim is true, are in docs/FORMAT.md, to which
the section numbers refer. This file shares no code with the prover, on purpose.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import re
import struct
import sys
import zipfile
from array import array
from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import gcd, isfinite, lcm
from typing import Any, NamedTuple

FORMAT, MODEL_FORMAT = "jensen-certificate/1", "jensen-network/1"
MAX_LINE, MAX_LINES, MAX_FILE, MAX_SIZE = 1 << 24, 20_000_000, 1 << 30, 1 << 24
MAX_NUMBER, MAX_SCALE = 200_000, 1 << 20  # characters of a number, bits of a common denominator
RATIONAL = re.compile(r"(-?)(0x[0-9a-f]+|[0-9]{1,4000})(?:/(0x[0-9a-f]+|[0-9]{1,4000}))?")
HEX_FLOAT = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}")
ONE = 0  # the unit that is constantly 1

Number = int | Fraction
Form = dict[int, Any]  # linear form; key u: the input unit u, key -u: max(zeta_u, 0)
Row = dict[int, tuple[int, int]]  # unit -> (slope where it is on, slope where it is off)


class Malformed(Exception):  # noqa: N818  (it is an answer, like Rejected)
    """The file is not of the documented format."""


class Rejected(Exception):  # noqa: N818
    """A step does not follow."""


class Block(NamedTuple):
    """A block of the model; an edge is a source and per row its (column, weight) pairs."""

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


def refuse(value: str) -> None:
    """Refuse a JSON number that is not an integer."""
    raise Malformed(f"{value[:20]} must be written as an exact string")


def distinct(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Build a dictionary whose keys are not repeated."""
    result = dict(pairs)
    need(len(result) == len(pairs), "a key is repeated")
    return result


def parse(text: str | bytes) -> Any:
    """Read JSON without floats, NaN or repeated keys."""
    try:
        text = text.decode() if isinstance(text, bytes) else text
        return json.loads(
            text, parse_float=refuse, parse_constant=refuse, object_pairs_hook=distinct
        )
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON ({str(error)[:80]})") from None


def natural(value: Any, limit: int) -> int:
    """Return an integer in ``range(limit)``."""
    need(type(value) is int and 0 <= value < limit, f"{str(value)[:20]}: need 0 <= n < {limit}")
    return int(value)


def double(text: Any) -> float:
    """Read a finite double as ``float.hex`` writes it."""
    need(isinstance(text, str) and HEX_FLOAT.fullmatch(text), f"{str(text)[:40]!r} is no number")
    return float.fromhex(text)


def rational(text: Any) -> Fraction:
    """Read "-3", "2/7", "-0x1f/0x2b" or a double "0x1.8p+1"."""
    need(isinstance(text, str) and len(text) <= MAX_NUMBER, "a number must be a short string")
    match = RATIONAL.fullmatch(text)
    if match is None:
        return Fraction(double(text))
    top, bottom = (int(part, 16 if "x" in part else 10) for part in (match[2], match[3] or "1"))
    need(bottom > 0, f"the denominator of {text[:40]} is 0")
    return Fraction(-top if match[1] else top, bottom)


def rationals(items: Any, count: int) -> list[Fraction]:
    """Read a list of so many numbers."""
    need(isinstance(items, list) and len(items) == count, f"a list of {count} numbers is needed")
    return [rational(item) for item in items]


def read_array(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], Any]:
    """Return shape and C-ordered values of one array, without pickle."""
    raw = archive.read(name + ".npy")
    need(raw[:6] == b"\x93NUMPY" and raw[6] in (1, 2, 3), f"{name} has no npy header")
    start = 10 if raw[6] == 1 else 12
    end = start + int.from_bytes(raw[8:start], "little")
    need(end < 10_000, f"{name} has an oversized header")
    head, data = ast.literal_eval(raw[start:end].decode("latin1").strip()), raw[end:]
    if re.fullmatch("<U[0-9]{1,9}", head["descr"]):
        return (), data.decode("utf-32-le").rstrip("\0")
    values = array({"<f8": "d", "<i8": "q", "<i4": "i"}[head["descr"]], data)
    if sys.byteorder == "big":
        values.byteswap()
    if head["fortran_order"] and len(head["shape"]) == 2:
        height = head["shape"][0]
        values = array(values.typecode, (v for r in range(height) for v in values[r::height]))
    return head["shape"], values


def npz_entries(archive: zipfile.ZipFile, name: str, storage: str, width: int) -> Iterator[Any]:
    """Yield (row, column, weight) of one stored matrix."""
    if storage == "csr":
        data, columns, ends = (
            read_array(archive, f"{name}_{part}")[1] for part in ("data", "indices", "indptr")
        )
        need(len(data) == len(columns) == ends[-1] and ends[0] == 0, f"{name}: bad row ends")
        for row in range(len(ends) - 1):
            need(0 <= ends[row] <= ends[row + 1] <= len(data), f"{name}: bad row ends")
            for at in range(ends[row], ends[row + 1]):
                yield row, columns[at], data[at]
    else:
        shape, values = read_array(archive, name)
        need(len(shape) == 2 and shape[1] == width, f"{name} has shape {shape}")
        for at, weight in enumerate(values):
            yield at // width, at % width, weight


def read_npz(path: str) -> Model:
    """Read the ``.npz`` form of a network."""
    with zipfile.ZipFile(path) as archive:
        total = sum(info.file_size for info in archive.infolist())
        need(total <= MAX_FILE, f"the archive unpacks to {total} bytes")
        head = parse(read_array(archive, "header")[1])
        sizes = {"input": head["input_size"]} | {b["name"]: b["size"] for b in head["blocks"]}
        for i, block in enumerate(head["blocks"]):
            block["bias"] = read_array(archive, f"b{i}")[1]
            for j, edge in enumerate(block["inputs"]):
                parts = (archive, f"w{i}_{j}", edge["storage"], sizes[edge["from"]])
                edge["entries"] = npz_entries(*parts)
        return build_model(head, float)


def read_json(path: str) -> Model:
    """Read the JSON form, with doubles as hexadecimal strings."""
    with open(path, "rb") as file:
        raw = file.read(MAX_FILE + 1)
    need(len(raw) <= MAX_FILE, "the file is too large")
    return build_model(parse(raw), double)


def build_model(head: Any, number: Any) -> Model:
    """Build the network from its description and check it."""
    need(head["format"] == MODEL_FORMAT, f"the format is not {MODEL_FORMAT}")
    model = Model(natural(head["input_size"], MAX_SIZE), [])
    sizes = {"input": model.inputs}
    for entry in head["blocks"]:
        name, bias, edges = entry["name"], [number(b) + 0.0 for b in entry["bias"]], {}
        need(isinstance(name, str) and name not in sizes, f"block {name!r} is repeated")
        need(entry["activation"] in ("relu", "identity"), f"{name}: unknown activation")
        need(len(bias) == entry["size"] > 0, f"{name}: {len(bias)} biases")
        need(all(map(isfinite, bias)), f"{name}: the bias is not finite")
        for edge in entry["inputs"]:
            source, rows = edge["from"], [dict[int, float]() for _ in bias]
            need(source in sizes and source not in edges, f"{name}: cannot read {source!r}")
            for i, j, text in edge["entries"]:
                row, weight = rows[natural(i, len(rows))], number(text)
                if j in row or not isfinite(weight):
                    raise Malformed(f"{name}: repeated or infinite weight")
                row[natural(j, sizes[source])] = weight
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


# ----------------------------------------------------------------------- claims (section 3)


class Claim:
    """The first line: what is claimed, and where."""

    def __init__(self, head: Any, model: Model) -> None:
        keys = {"format", "network", "claim", "output", "domain", "inputs"}
        need(isinstance(head, dict) and keys - {"inputs"} <= set(head) <= keys, "bad claim line")
        need(head["format"] == FORMAT, f"the format is not {FORMAT}")
        self.kind, domain, n = head["claim"], head["domain"], model.inputs
        need(self.kind in ("convex", "concave", "nonconvex", "nonconcave"), "unknown claim")
        self.sign = -1 if self.kind.endswith("concave") else 1
        self.output = natural(head["output"], len(model.blocks[-1].bias))
        chosen = head.get("inputs", list(range(n)))
        need(isinstance(chosen, list), "inputs must be a list")
        self.inputs = {natural(i, n) for i in chosen}
        need(isinstance(domain, dict) and isinstance(domain.get("type"), str), "bad domain")
        self.box = domain["type"] == "box"
        self.sides = [(Fraction(-1), Fraction(1))] * n
        self.rows: list[tuple[list[Fraction], Fraction]] = []
        if self.box:
            need(set(domain) == {"type", "lower", "upper"}, "bad box")
            lower, upper = rationals(domain["lower"], n), rationals(domain["upper"], n)
            self.sides = list(zip(lower, upper, strict=True))
            need(all(a <= b for a, b in self.sides), "the box is empty")
        elif domain["type"] == "polyhedron":
            point = set() if self.kind.startswith("non") else {"interior"}
            need(set(domain) == {"type", "A", "b"} | point, "bad polyhedron")
            need(isinstance(domain["A"], list), "bad polyhedron")
            matrix = [rationals(a, n) for a in domain["A"]]
            self.rows = list(zip(matrix, rationals(domain["b"], len(matrix)), strict=True))
            if point:
                self.check_interior(rationals(domain["interior"], n))
        else:
            need(domain == {"type": "everywhere"}, "unknown domain")
        some = "" if self.inputs == set(range(n)) else f" in inputs {sorted(self.inputs)}"
        self.text = f"output {self.output} is {self.kind}{some}, domain {domain['type']}"
        if head["network"] != model_digest(model):
            raise Rejected("the certificate is about another network")

    def check_interior(self, x: list[Fraction]) -> None:
        """Without an interior every facet would be empty, whatever the network."""
        for a, b in self.rows:
            if not (dot(a, x) < b or (not any(a) and b == 0)):
                raise Rejected("the interior point does not lie inside the polyhedron")

    def contains(self, x: list[Fraction]) -> bool:
        """Decide whether a point lies in the domain."""
        if self.box:
            return all(a <= v <= b for v, (a, b) in zip(x, self.sides, strict=True))
        return all(dot(a, x) <= b for a, b in self.rows)


def dot(a: list[Fraction], x: list[Fraction]) -> Fraction:
    """Return the scalar product."""
    return sum((p * q for p, q in zip(a, x, strict=True)), Fraction(0))


# --------------------------------------------------- the two-slope integer form (section 4)


class Network:
    """One output as ``zeta_k = sum_h (on or off slope of h into k) * zeta_h``, in integers.

    Unit 0 is constantly 1, then come the free inputs (with t, if lifted), then the
    groups of neurons in topological order, last the output. ``low`` and ``high`` bound
    every unit on the work domain; ``extra`` are the further rows ``form >= 0`` of it.
    """

    def __init__(self, model: Model, claim: Claim) -> None:
        self.rows: list[Row] = []
        self.names: list[str] = []
        self.low: list[Any] = []
        self.high: list[Any] = []
        self._append({}, "1", (1, 1))
        self.bias_unit = ONE if claim.box else self._append({}, "t", (0, 1))
        scaled: list[tuple[int, Fraction]] = []
        for i, (a, b) in enumerate(claim.sides):
            if a == b:
                scaled.append((ONE, a))
            else:
                scale = lcm(a.denominator, b.denominator)
                unit = self._append({}, f"input[{i}]", (int(a * scale), int(b * scale)))
                scaled.append((unit, Fraction(1, scale)))
        self.neurons = {"input": scaled}  # z = factor * zeta_unit of every neuron
        self.inputs = len(self.rows)
        self.moving = {scaled[i][0] for i in claim.inputs} - {ONE}
        self._twins: dict[int, list[int]] = {}
        self._linear = {"input"} | {block.name for block in model.blocks if not block.relu}
        for block in model.blocks[:-1]:
            self.neurons[block.name] = [self._neuron(block, i) for i in range(len(block.bias))]
        row, _ = self._row(model.blocks[-1], claim.output)
        row = {u: (claim.sign * p, claim.sign * m) for u, (p, m) in row.items()}
        self.output = self._append(row, "output")
        self.extra: list[Form] = []
        for normal, limit in claim.rows:
            form: Form = {self.bias_unit: limit} if limit else {}
            for (unit, factor), value in zip(scaled, normal, strict=True):
                add(form, -value * factor, {unit: 1})
            self.extra.append(form)
        self.refresh()
        self.readers: list[list[int]] = [[] for _ in self.rows]
        self.kinks: set[int] = set()
        alive = {self.output}
        for k in range(self.output, self.inputs - 1, -1):
            for h, (p, m) in self.rows[k].items() if k in alive else ():
                alive.add(h)
                self.readers[h].append(k)
                if p != m and h >= self.inputs and self.moving:
                    self.kinks.add(h)

    def _append(self, row: Row, name: str, bounds: tuple[Any, Any] = (None, None)) -> int:
        self.rows.append(row)
        self.names.append(name)
        self.low.append(bounds[0])
        self.high.append(bounds[1])
        return len(self.rows) - 1

    def _row(self, block: Block, index: int) -> tuple[Row, Fraction]:
        """Return a neuron's primitive integer row and its positive content."""
        terms = [(*block.bias[index].as_integer_ratio(), self.bias_unit, 1, 1, True)]
        for source, rows in block.edges.items():
            linear = source in self._linear
            for j, weight in rows[index].items():
                unit, factor = self.neurons[source][j]
                top, bottom = factor.numerator, factor.denominator
                terms.append((*weight.as_integer_ratio(), unit, top, bottom, linear))
        scale = lcm(*(term[1] * term[4] for term in terms))
        need(scale.bit_length() <= MAX_SCALE, f"{block.name}[{index}] needs too many digits")
        row: Row = {}
        for w, below, unit, top, bottom, linear in terms:
            value = w * top * (scale // (below * bottom))
            p, m = row.get(unit, (0, 0))
            on, off = linear or top > 0, linear or top < 0
            row[unit] = (p + value if on else p, m + value if off else m)
        row = {unit: row[unit] for unit in sorted(row) if row[unit] != (0, 0)}
        content = gcd(*(slope for pair in row.values() for slope in pair)) or 1
        reduced = {unit: (p // content, m // content) for unit, (p, m) in row.items()}
        return reduced, Fraction(content, scale)

    def _neuron(self, block: Block, index: int) -> tuple[int, Fraction]:
        """Return (unit, factor); neurons with proportional rows share a unit."""
        row, content = self._row(block, index)
        if not row:
            return ONE, Fraction(0)
        negative = {unit: (-p, -m) for unit, (p, m) in row.items()}
        for candidate, factor in ((row, content), (negative, -content)):
            for unit in self._twins.get(hash(tuple(candidate.items())), ()):
                if self.rows[unit] == candidate:
                    return unit, factor
        self._twins.setdefault(hash(tuple(row.items())), []).append(len(self.rows))
        return self._append(row, f"{block.name}[{index}]"), content

    def refresh(self) -> None:
        """Tighten all bounds by interval arithmetic, front to back."""
        for k in range(self.inputs, len(self.rows)):
            low: Any = 0
            high: Any = 0
            for h, (p, m) in self.rows[k].items():
                a, b = self.low[h], self.high[h]
                ends = [(p if a > 0 else m) * a, (p if b > 0 else m) * b]
                ends += [0] if a < 0 < b else []
                low, high = low + min(ends), high + max(ends)
            self.low[k] = low if self.low[k] is None else max(low, self.low[k])
            self.high[k] = high if self.high[k] is None else min(high, self.high[k])

    def stable(self, unit: int) -> bool | None:
        """Return the side on which a unit stays on the whole domain, or None."""
        if self.low[unit] >= 0:
            return True
        return False if self.high[unit] <= 0 else None

    def unit(self, block: Any, index: Any) -> int:
        """Return the unit of a neuron."""
        known = isinstance(block, str) and block != "input" and block in self.neurons
        need(known, f"there is no block {str(block)[:40]!r}")
        unit, _ = self.neurons[block][natural(index, len(self.neurons[block]))]
        need(unit != ONE, f"{block}[{index}] is constantly 0")
        return unit

    def values(self, inputs: list[Fraction]) -> list[Fraction]:
        """Evaluate every unit where the units before ``self.inputs`` have these values."""
        z = list(inputs)
        for row in self.rows[self.inputs :]:
            z.append(sum(((p if z[h] > 0 else m) * z[h] for h, (p, m) in row.items()), Fraction(0)))
        return z

    def slope(self, z: list[Fraction], direction: Form) -> Number:
        """One-sided directional derivative of the output at a point, by the chain rule."""
        d: list[Any] = [direction.get(unit, 0) for unit in range(self.inputs)]
        for row in self.rows[self.inputs :]:
            d.append(sum((p if (z[h] or d[h]) > 0 else m) * d[h] for h, (p, m) in row.items()))
        bend: Number = d[self.output]
        return bend


def add(form: Form, factor: Number, other: Form) -> None:
    """Add ``factor * other`` to a form in place; what cancels disappears."""
    for key, value in other.items() if factor else ():
        total = form.get(key, 0) + factor * value
        if total:
            form[key] = total
        else:
            form.pop(key, None)


def multiple(b: Form, a: Form) -> bool:
    """Decide whether b = c * a for a number c, zero included."""
    if not b:
        return True
    key = next(iter(b))
    return set(a) == set(b) and all(b[k] * a[key] == a[k] * b[key] for k in b)


# ------------------------------------------------------------------------ rules (section 5)


class Node:
    """A node of a tree: the units fixed so far and what follows, kept up to date."""

    def __init__(self, net: Network, group: int = ONE) -> None:
        self.net, self.group = net, group  # ONE: no group, the whole domain
        self.fixed: dict[int, bool] = {}
        self.forms: dict[int, Form] = {unit: {unit: 1} for unit in range(net.inputs)}
        self.slopes: dict[int, tuple[int, int]] = {}
        self.fresh = 0  # so many of ``behind`` have slopes that are up to date
        reached, stack = {group}, [group] if group else []
        while stack:
            new = [k for k in net.readers[stack.pop()] if k not in reached]
            reached.update(new)
            stack += new
        self.behind = []
        for k in sorted(reached - {group}):
            p, m = net.rows[k].get(group, (0, 0))
            pull = [(h, *s) for h, s in net.rows[k].items() if h in reached and h != group]
            self.behind.append((k, p - m, pull))
        self.place = {k: i + 1 for i, (k, _, _) in enumerate(self.behind)}

    def side(self, unit: int) -> bool | None:
        """Return whether a unit is on or off here; None if it is open."""
        return self.fixed[unit] if unit in self.fixed else self.net.stable(unit)

    def fix(self, unit: int, side: bool | None) -> None:
        """Fix or free a unit and forget what depended on it."""
        self.fixed.pop(unit, None)
        if side is not None:
            self.fixed[unit] = side
        self.forms = {k: form for k, form in self.forms.items() if k <= unit}
        self.fresh = min(self.fresh, self.place.get(unit, self.fresh))

    def jump(self) -> Number:
        """Lower bound of the gradient jump over all patterns below this node."""
        for k, start, pull in self.behind[self.fresh :]:
            low = high = start
            for h, p, m in pull:
                a, b = self.slopes[h]
                side = self.side(h)
                ends = [p * a, p * b] if side is not False else []
                if side is not True:
                    ends += [m * a, m * b]
                low, high = low + min(ends), high + max(ends)
            self.slopes[k] = low, high
        self.fresh = len(self.behind)
        return self.slopes[self.net.output][0] if self.net.output in self.slopes else 0

    def form(self, unit: int) -> Form:
        """Return a unit as a linear form that holds on the hyperplane of the group."""
        stack = [unit]
        while stack:
            k = stack.pop()
            missing = [h for h in self.net.rows[k] if h not in self.forms and h != self.group]
            if missing:
                stack += [k, *missing]
            elif k not in self.forms:
                form: Form = {}
                for h, (p, m) in self.net.rows[k].items():
                    side = True if h < self.net.inputs or p == m else self.side(h)
                    if h != self.group or h == ONE:
                        add(form, p if side else m, self.forms[h])
                        add(form, p - m if side is None else 0, {-h: 1})
                self.forms[k] = form
        return self.forms[unit]

    def settled(self, unit: int) -> bool:
        """Whether a unit's form holds inputs only."""
        return min(self.form(unit), default=ONE) >= ONE

    def combine(self, entries: Any) -> tuple[Form, bool]:
        """Add up multiples of rows ``form >= 0``; say whether one is strict on a facet."""
        need(isinstance(entries, list), "the multipliers must be a list")
        total: Form = {}
        strict = False
        for entry in entries:
            need(isinstance(entry, list) and len(entry) in (2, 3, 4), "bad multiplier")
            kind, where, y = entry[0], entry[1:-1], rational(entry[-1])
            if kind == "facet":
                need(not where and self.group, "there is no facet here")
                add(total, y, self.form(self.group))
                continue
            if y <= 0:
                raise Rejected(f"the multiplier of {kind} {where} is not positive")
            if kind == "domain":
                need(len(where) == 1, "bad multiplier")
                row = self.net.extra[natural(where[0], len(self.net.extra))]
                add(total, y, row)
                strict = strict or bool(row)
                continue
            need(kind in ("sign", "above", "below") and len(where) == 2, "bad multiplier")
            unit = self.net.unit(*where)
            side, z = self.side(unit), self.form(unit)
            if unit == self.group or (side is None) == (kind == "sign"):
                raise Rejected(f"{kind} {where}: there is no such row here")
            if kind == "sign":
                add(total, y if side else -y, z)
                strict = strict or self.genuine(unit)
            elif kind == "above":
                add(total, y, {-unit: 1})
                add(total, -y, z)
            else:
                low, high = self.net.low[unit], self.net.high[unit]
                add(total, y * high, z)
                add(total, -y, {-unit: high - low, ONE: high * low})
        return total, strict

    def genuine(self, unit: int) -> bool:
        """Whether a decided unit cannot vanish inside a facet below this node."""
        if not (self.group and self.settled(self.group) and self.settled(unit)):
            return False
        return not multiple(self.form(unit), self.form(self.group))

    def largest(self, form: Form) -> Number:
        """Upper bound of a form over the ranges of its variables."""
        bound: Number = 0
        for key, value in form.items():
            low = self.net.low[key] if key >= 0 else 0
            bound += value * (self.net.high[abs(key)] if value > 0 else low)
        return bound

    # -------------------------------------------------------- leaves: raise or return

    def leaf_sign(self) -> None:
        """No pattern below this node bends the function downwards."""
        if self.jump() < 0:
            raise Rejected("the gradient jump may be negative")

    def leaf_flat(self) -> None:
        """Find that the group's form does not change with the claimed inputs: no facet to cross."""
        if not self.settled(self.group) or self.net.moving & set(self.form(self.group)):
            raise Rejected("the group's hyperplane is not flat here")

    def leaf_empty(self, entries: Any) -> None:
        """Find a combination of valid rows that is negative inside every facet: none is there."""
        total, strict = self.combine(entries)
        bound = self.largest(total)
        free = any(k >= 0 and self.net.low[k] < self.net.high[k] for k in total)
        if bound > 0 or (bound == 0 and not (strict or free)):
            raise Rejected("the combination is no contradiction")

    def leaf_smooth(self, point: Any) -> None:
        """At an exact point inside the facet, the true function bends upwards."""
        net, x = self.net, rationals(point, self.net.inputs - 1)
        z = net.values([Fraction(1), *x])
        inside = all(a < v < b for v, a, b in zip(x, net.low[1:], net.high[1:], strict=False))
        inside = inside and all(
            sum((c * z[k] for k, c in row.items()), Fraction(0)) > 0 for row in net.extra if row
        )
        if not (inside and z[self.group] == 0):
            raise Rejected("the point is not inside the domain and on the hyperplane")
        for unit in net.kinks - {self.group}:
            side = self.side(unit)
            if side is None:
                raise Rejected(f"{net.names[unit]} is still open")
            wrong = (z[unit] > 0) != side if z[unit] else self.genuine(unit)
            if wrong or not self.settled(unit):
                raise Rejected(f"the point is not inside the facet of {net.names[unit]}")
        normal = {k: v for k, v in self.form(self.group).items() if k in net.moving}
        back = {k: -v for k, v in normal.items()}
        bend = net.slope(z, normal) + net.slope(z, back)
        if not normal or not self.settled(self.group) or bend < 0:
            raise Rejected("the function does not bend upwards at this point")


class Lines:
    """The lines of a certificate, gzipped or not, within limits; ``number`` is the last."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as probe:
            zipped = probe.read(2) == b"\x1f\x8b"
        self.file: Any = gzip.open(path) if zipped else open(path, "rb")  # noqa: SIM115
        self.number = self.total = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> Any:
        line = self.file.readline(MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.total += len(line)
        need(len(line) <= MAX_LINE, "the line is too long")
        need(self.number <= MAX_LINES and self.total <= MAX_FILE, "the certificate is too long")
        return parse(line)


def rule_bound(net: Network, block: Any, index: Any, side: Any, entries: Any) -> None:
    """Tighten a bound by multipliers of rows that hold on the whole domain."""
    need(side in ("lower", "upper"), "the side must be lower or upper")
    unit, node, sign = net.unit(block, index), Node(net), 1 if side == "upper" else -1
    total, _ = node.combine(entries)
    add(total, sign, node.form(unit))
    limit = sign * node.largest(total)
    if side == "upper":
        net.high[unit] = min(net.high[unit], limit)
    else:
        net.low[unit] = max(net.low[unit], limit)
    net.refresh()


def rule_path_signs(net: Network) -> set[int]:
    """One backward sweep: the groups whose gradient jump is non-negative in any pattern."""
    reach: dict[int, list[Number]] = {net.output: [1, 1, 1, 1, 0]}  # on, off: low, high; jump: low
    for k in range(net.output, net.inputs - 1, -1):
        on_low, on_high, off_low, off_high, _ = reach.get(k, [0] * 5)
        side = True if k == net.output else net.stable(k)
        low, high = (off_low, off_high) if side is False else (on_low, on_high)
        if side is None:
            low, high = min(low, off_low), max(high, off_high)
        for h, (p, m) in net.rows[k].items() if low or high else ():
            sums = reach.setdefault(h, [0] * 5)
            for at, weight in ((0, p), (2, m), (4, p - m)):
                if weight:
                    ends = (weight * low, weight * high)
                    sums[at] += min(ends)
                    if at < 4:
                        sums[at + 1] += max(ends)
    return {k for k in net.kinks if reach.get(k, [0] * 5)[4] >= 0}


def rule_tree(net: Network, lines: Iterable[Any], block: Any, index: Any) -> int:
    """Read the tree of one group in preorder, on-child first; return the group."""
    group = net.unit(block, index)
    node = Node(net, group)
    path: list[int] = []  # the units fixed above the node
    for line in lines:
        need(isinstance(line, list) and line, "a rule must be a list")
        name, *arguments = line
        if name == "branch":
            need(len(arguments) == 2, "branch needs a neuron")
            unit = net.unit(*arguments)
            if unit == group or node.side(unit) is not None:
                raise Rejected(f"{net.names[unit]} is already decided")
            path.append(unit)
            node.fix(unit, True)
            continue
        leaves = {"sign": 0, "flat": 0, "empty": 1, "smooth": 1}
        need(isinstance(name, str) and name in leaves, f"unknown leaf {str(name)[:20]!r}")
        need(len(arguments) == leaves[name], f"{name} needs {leaves[name]} arguments")
        getattr(node, f"leaf_{name}")(*arguments)
        while path and not node.fixed[path[-1]]:
            node.fix(path.pop(), None)
        if not path:
            return group
        node.fix(path[-1], False)
    raise Rejected(f"the tree of {net.names[group]} is not finished")


def rule_pair(model: Model, claim: Claim, x: list[Fraction], y: list[Fraction]) -> None:
    """Two points of the domain whose midpoint lies above the chord, exactly."""
    if not (claim.contains(x) and claim.contains(y)):
        raise Rejected("a point lies outside the domain")
    if any(a != b for i, (a, b) in enumerate(zip(x, y, strict=True)) if i not in claim.inputs):
        raise Rejected("the points differ in an input that the claim keeps fixed")
    claim.box, claim.sides, claim.rows = False, [(Fraction(-1), Fraction(1))] * len(x), []
    net = Network(model, claim)  # evaluated at t = 1
    middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
    fx, fy, fm = (net.values([Fraction(1)] * 2 + point)[-1] for point in (x, y, middle))
    if not 2 * fm > fx + fy:
        raise Rejected("the pair does not violate midpoint convexity")


def check(model: Model, lines: Lines) -> str:
    """Check all lines and return what is proved."""
    claim = Claim(next(lines, None), model)
    if claim.kind.startswith("non"):
        line: Any = next(lines, None)
        need(isinstance(line, list) and len(line) == 3 and line[0] == "pair", "need one pair")
        rule_pair(model, claim, *(rationals(point, model.inputs) for point in line[1:]))
        need(next(lines, None) is None, "nothing may follow the pair")
        return claim.text
    net = Network(model, claim)
    proved: set[int] = set()
    for line in lines:
        need(isinstance(line, list) and line, "a rule must be a list")
        shape = line[0], len(line)
        if shape == ("bound", 5):
            rule_bound(net, *line[1:])
        elif shape == ("path_signs", 1):
            proved |= rule_path_signs(net)
        elif shape == ("tree", 3):
            proved.add(rule_tree(net, lines, *line[1:]))
        else:
            raise Malformed(f"unknown rule {str(line)[:40]}")
    for unit in sorted(net.kinks - proved):
        if net.stable(unit) is None:
            raise Rejected(f"nothing is proved about {net.names[unit]}")
    return claim.text


def main(argv: list[str] | None = None) -> int:
    """Check one certificate and print the answer; the exit code says it, too."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 2:
        sys.stderr.write("usage: checker.py MODEL CERTIFICATE\n")
        return 2
    place, lines = arguments[0], None
    try:
        kind = arguments[0].rpartition(".")[2]
        need(kind in ("npz", "json"), "the model must be .npz or .json: export it as such")
        model = read_json(arguments[0]) if kind == "json" else read_npz(arguments[0])
        place, lines = arguments[1], Lines(arguments[1])
        answer, code = f"accepted: {check(model, lines)}", 0
    except Rejected as error:
        answer, code = f"rejected: line {lines.number if lines else 0}: {error}", 1
    except Exception as error:  # no file may end in a traceback
        at = f" line {lines.number}" if lines else ""
        what = str(error) if isinstance(error, Malformed) else f"{type(error).__name__} {error}"
        answer, code = f"malformed: {place}{at}: {what[:200]}", 2
    sys.stdout.write(answer + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
