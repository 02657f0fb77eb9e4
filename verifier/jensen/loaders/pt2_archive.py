"""What may be in a ``.pt2`` archive, checked before PyTorch sees any of it.

PyTorch's reader evaluates strings of the archive as Python (through SymPy), unpickles, imports
modules by name, generates code from the names of nodes, and loads compiled libraries. So the
archive is not handed to it. Its program is read here by a grammar that has no calls but those
of a fixed list, its tensors as plain bytes, and a new archive is written that holds these and
nothing else.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from jensen.errors import ModelFileError
from jensen.loaders.pt2_operators import only_computes

MAX_BYTES = 2**32  # unpacked, of the archive
MAX_PROGRAM = 2**26  # of its program, and of the tables of its tensors
MAX_NUMBERS = 2**29  # of all tensors together
MAX_FIXED = 100  # of members of which nothing but one word is read
MAX_EXPRESSION = 400  # characters
MAX_INTEGER = 2**63

PROGRAM = "models/model.json"
_TABLES = (
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
_SAMPLES = "data/sample_inputs/model.pt"
_TENSOR = re.compile(r"data/(weights/weight|constants/tensor)_[0-9]{1,9}")
# written anew: what they hold is fixed
_FIXED = {
    "archive_format": b"pt2",
    "archive_version": b"0",
    "byteorder": b"little",
    ".data/version": b"6\n",
}
_IGNORED = re.compile(r"\.data/serialization_id|extra/.*")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,499}")
_DOTTED = re.compile(r"[A-Za-z0-9_.]{0,999}")
_TEXT = re.compile(r"[A-Za-z0-9_ ,.>+<=-]{0,200}")  # modes of operators, sums of Einstein
_SYMBOL = re.compile(r"z?[a-z]{1,3}[0-9]{1,6}")  # s77, u0, zuf3
_FUNCTIONS = frozenset(
    {"Add", "CeilDiv", "CleanDiv", "Eq", "FloorDiv", "Ge", "Gt", "Integer", "Le", "Lt", "Max"}
    | {"Min", "Mod", "Mul", "Ne", "PythonMod"}
)
_ASSUMPTIONS = frozenset({"integer", "nonnegative", "positive", "nonzero", "real", "finite"})
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
# subprograms, objects of compiled classes, functions passed as arguments
_REFUSED = frozenset({"as_graph", "as_operator", "as_custom_obj", "as_string_to_argument", "token"})
_CONTAINERS = frozenset({"builtins.tuple", "builtins.list", "builtins.dict"})
_CONTAINERS |= {"collections.OrderedDict"}
_DROPPED: Mapping[str, Any] = {"metadata": {}, "guards_code": [], "treespec_namedtuple_fields": {}}


class ForbiddenError(ValueError):
    """Something in the archive that is not on the list of what is read."""


def safe_archive(path: Path) -> io.BytesIO:
    """Return an archive of the same program and tensors that PyTorch may read.

    Parameters
    ----------
    path : Path
        A file that ``torch.export.save`` of PyTorch 2.9 or newer wrote.

    Raises
    ------
    ModelFileError
        If it is no such archive, or holds anything that is not on the list; the message
        says what.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            rebuilt = {name: _checked(name, archive.read(item)) for name, item in members.items()}
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from None
    except ForbiddenError as error:
        raise ModelFileError(
            f"{path}: {error}; it is not read, as PyTorch may run code from such a file. If you "
            "trust it, use jensen.from_torch(torch.export.load(...).module(), input_shape)"
        ) from None
    except Exception as error:  # damaged archives make their readers raise almost anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ModelFileError(f"{path}: not an archive of torch.export.save ({reason})") from None
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in (rebuilt | _FIXED).items():
            archive.writestr(f"model/{name}", content)
    out.seek(0)
    return out


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return what is read of an archive, by its name in it."""
    found: dict[str, zipfile.ZipInfo] = {}
    roots = set()
    size = sum(item.file_size for item in archive.infolist())
    if size > MAX_BYTES:
        raise ForbiddenError(f"{size} bytes when unpacked; at most {MAX_BYTES} are supported")
    for item in archive.infolist():
        root, _, name = item.filename.partition("/")
        roots.add(root)
        if name in found:
            raise ForbiddenError(f"it holds {name[:100]!r} twice")
        if name in _FIXED:
            short = item.file_size <= MAX_FIXED
            if not short or archive.read(item).strip() != _FIXED[name].strip():
                raise ForbiddenError(f"{name!r} is not {_FIXED[name].decode().strip()!r}")
        elif name in (PROGRAM, _SAMPLES, *_TABLES) or _TENSOR.fullmatch(name):
            found[name] = item
            limit = MAX_BYTES if _TENSOR.fullmatch(name) or name == _SAMPLES else MAX_PROGRAM
            if item.file_size > limit:
                raise ForbiddenError(f"{name!r} has {item.file_size} bytes")
        elif not _IGNORED.fullmatch(name):
            raise ForbiddenError(f"it holds {name[:100]!r}")
    for name in (PROGRAM, *_TABLES):
        if name not in found:
            raise ForbiddenError(
                f"it holds no {name!r}: files of torch.export.save since PyTorch 2.9 do"
            )
    if len(roots) != 1:
        raise ForbiddenError("its members are not in one folder")
    return found


def _checked(name: str, content: bytes) -> bytes:
    """Return a member as it may be read."""
    if name == _SAMPLES:
        return b""  # pickled, and of no use here
    if _TENSOR.fullmatch(name):
        return content
    data = json.loads(content.decode("utf-8"))
    clean = checked_program(data) if name == PROGRAM else _tensor_table(data)
    return json.dumps(clean).encode()


def checked_program(data: Any) -> Any:
    """Return the JSON of an exported program without anything that PyTorch could run.

    Raises
    ------
    ForbiddenError
        For text outside the grammar of its place, and operators that are not on the list.
    """
    try:
        return _clean(data, "program")
    except RecursionError:
        raise ForbiddenError("it is nested too deeply") from None


def _tensor_table(data: Any) -> Any:
    if not isinstance(data, dict) or set(data) != {"config"}:
        raise ForbiddenError("a table of tensors is malformed")
    for name, entry in data["config"].items():
        if entry["use_pickle"] is not False:
            raise ForbiddenError(f"the tensor {str(name)[:100]!r} is pickled")
        if not re.fullmatch(r"(weight|tensor)_[0-9]{1,9}", entry["path_name"]):
            raise ForbiddenError(f"{str(name)[:100]!r} is an object and no tensor")
    claimed = sum(_claimed(entry["tensor_meta"]["sizes"]) for entry in data["config"].values())
    if claimed > MAX_NUMBERS:
        raise ForbiddenError(f"its tensors claim {claimed} numbers; at most {MAX_NUMBERS} are read")
    return _clean(data, "table")


def _claimed(sizes: list[dict[str, int]]) -> int:
    """Return how many numbers a tensor has; by strides of 0 a few bytes fill any shape."""
    return prod(max(0, int(size["as_int"])) for size in sizes)


def _clean(value: Any, key: str) -> Any:
    if key in _DROPPED:
        return _DROPPED[key]
    if isinstance(value, dict):
        if key == "range_constraints":  # PyTorch counts up to their numbers
            value = {_matching(_SYMBOL, "symbol")(name): part for name, part in value.items()}
        return {_key(name): _clean(part, name) for name, part in value.items()}
    if isinstance(value, list):
        if key == "module_call_graph":
            value = value[:1]  # the call of the whole; the others only format it
        return [_clean(part, key) for part in value]
    if isinstance(value, str):
        return _TEXTS.get(key, _dotted)(value)
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise ForbiddenError("it holds an integer beyond 64 bits")
    return value


def _key(name: str) -> str:
    if name in _REFUSED:
        raise ForbiddenError(f"it holds {name.removeprefix('as_')!r} arguments")
    return _dotted(name)


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ForbiddenError(f"{text[:100]!r} is no {what}")
        return text

    return check


_dotted = _matching(_DOTTED, "name")


def _operator(text: str) -> str:
    if not only_computes(text):
        raise ForbiddenError(f"{text[:100]!r} is no operator that is known to only compute")
    return text


def _tree(text: str) -> str:
    """Check how inputs or outputs are nested: [1, {type, context, children_spec}]."""
    if not text:
        return text
    protocol, spec = json.loads(text)
    return json.dumps([_protocol(protocol), _subtree(spec)])


def _protocol(number: Any) -> int:
    if number != 1 or isinstance(number, bool):
        raise ForbiddenError("the nesting of its inputs is of an unknown kind")
    return 1


def _subtree(spec: Any) -> Any:
    if not isinstance(spec, dict) or set(spec) != {"type", "context", "children_spec"}:
        raise ForbiddenError("the nesting of its inputs is malformed")
    kind, context = spec["type"], spec["context"]
    if kind is None and context is None:
        return {"type": None, "context": None, "children_spec": _children(spec)}
    if kind not in _CONTAINERS:
        raise ForbiddenError(f"{str(kind)[:100]!r} holds its inputs or outputs")
    keys = json.loads(context)
    fine = isinstance(keys, list) and all(isinstance(k, str) for k in keys)
    if keys is not None and not (fine and all(_NAME.fullmatch(k) for k in keys)):
        raise ForbiddenError(f"{str(context)[:100]!r} are no names of inputs or outputs")
    return {"type": kind, "context": json.dumps(keys), "children_spec": _children(spec)}


def _children(spec: Any) -> list[Any]:
    return [_subtree(child) for child in spec["children_spec"]]


def checked_expression(text: str) -> str:
    """Return a size such as ``2*s77 + 1`` if it is one.

    Raises
    ------
    ForbiddenError
        For anything but integers, symbols, sums, products, remainders, comparisons and calls
        of a few functions of SymPy.
    """
    if len(text) > MAX_EXPRESSION:
        raise ForbiddenError(f"a size has {len(text)} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ForbiddenError(f"{text[:100]!r} is no size") from None
    if not _is_size(tree.body):
        raise ForbiddenError(f"{text[:100]!r} is no size")
    return ast.unparse(tree)


def _is_size(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=value):
            return type(value) is bool or (type(value) is int and value < MAX_INTEGER)
        case ast.Name(id=name):
            return bool(_SYMBOL.fullmatch(name)) or name in ("true", "false")
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str(name))]):
            return bool(_SYMBOL.fullmatch(name)) and all(map(_is_assumption, node.keywords))
    return _joins_sizes(node)


def _joins_sizes(node: ast.expr) -> bool:
    match node:
        case ast.UnaryOp(op=op, operand=part):
            known, parts = isinstance(op, _ARITHMETIC), [part]
        case ast.BinOp(left=left, op=op, right=right):
            known, parts = isinstance(op, _ARITHMETIC), [left, right]
        case ast.Compare(left=left, ops=ops, comparators=others):
            known, parts = all(isinstance(op, _COMPARISONS) for op in ops), [left, *others]
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]):
            known, parts = function in _FUNCTIONS, arguments
        case _:
            return False
    return known and all(map(_is_size, parts))


def _is_assumption(item: ast.keyword) -> bool:
    known = item.arg in _ASSUMPTIONS and isinstance(item.value, ast.Constant)
    return known and type(item.value.value) is bool  # type: ignore[attr-defined]


# what text may be, by the key under which it stands; names with dots elsewhere
_TEXTS: Mapping[str, Callable[[str], str]] = {
    "name": _matching(_NAME, "name"),
    "as_name": _matching(_NAME, "name"),
    "forward_arg_names": _matching(_NAME, "name"),
    "expr_str": checked_expression,
    "target": _operator,
    "in_spec": _tree,
    "out_spec": _tree,
    "as_string": _matching(_TEXT, "text of an argument"),
    "as_strings": _matching(_TEXT, "text of an argument"),
    "torch_version": _matching(_TEXT, "version"),
}
