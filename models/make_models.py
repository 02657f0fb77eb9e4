"""Re-create every model of this folder: ``python models/make_models.py``.

The models are committed; this script is needed only to change them. It takes about one
minute on one core, needs the extras ``torch`` and ``test``, and ends with an exact
counterexample for everything that ``manifest.toml`` expects to be non-convex. Training
is seeded and single-threaded: the same versions of torch and numpy on the same kind of
machine give the same bytes.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from exact_onnx import ExactModel
from networks import (
    BeyondIcnn,
    Clipped,
    ConcatIcnn,
    Guarded,
    Icnn,
    Mlp,
    PatchPotential,
    Projected,
    ResidualNet,
    TwoHeads,
    WorstTwo,
)
from numpy.typing import NDArray
from onnx_files import Matrix, export, write_feedforward
from training import (
    FloatArray,
    RecedingHorizon,
    Target,
    corner_needle,
    dispatch,
    fit,
    log_sum_exp,
    portfolio_risk,
    sample,
    tilted_bowl,
)

FOLDER = Path(__file__).resolve().parent
STATES = np.array([3.0, 2.0])


def trained(network: Projected, target: Target, radius: FloatArray, n: int = 1024) -> Projected:
    """Fit a network to a target on the box ``|x_i| <= radius_i``."""
    points = sample(np.random.default_rng(0), -radius, radius, n)
    error = fit(network, points, target(points))
    print(f"    relative training error {error:.3f}")
    return network


# ---------------------------------------------------------------- learned models


def icnn_log_sum_exp(path: Path) -> None:
    network = Icnn(3, [12, 12])
    export(trained(network, log_sum_exp, np.ones(3)), (3,), path)


def icnn_needle(path: Path) -> None:
    network = Icnn(3, [8, 8])
    trained(network, log_sum_exp, np.ones(3))
    corner_needle(network, cut=0.125)
    export(network, (3,), path)


def mlp_bowl(path: Path) -> None:
    export(trained(Mlp([2, 12, 12, 1]), tilted_bowl, 2 * np.ones(2)), (2,), path)


def mlp_portfolio_risk(path: Path) -> None:
    export(trained(Mlp([5, 10, 10, 1]), portfolio_risk, np.ones(5)), (5,), path)


def icnn_mpc_value(path: Path) -> None:
    network = trained(Icnn(2, [12, 12]), RecedingHorizon().values, STATES, 800)
    export(network, (2,), path)


def mlp_mpc_value(path: Path) -> None:
    network = trained(Mlp([2, 12, 12, 1]), RecedingHorizon().values, STATES, 800)
    export(network, (2,), path)


def residual_convex(path: Path) -> None:
    network = ResidualNet(3, 8, 6, convex=True)
    export(trained(network, log_sum_exp, np.ones(3)), (3,), path)


def residual_free(path: Path) -> None:
    network = ResidualNet(3, 8, 6, convex=False)
    export(trained(network, log_sum_exp, np.ones(3)), (3,), path)


def deep_concat(path: Path) -> None:
    network = ConcatIcnn(3, [6] * 6)
    export(trained(network, log_sum_exp, np.ones(3)), (3,), path)


def inactive_negative(path: Path) -> None:
    network = Guarded(2, [8, 8], guards=4)
    trained(network, tilted_bowl, 2 * np.ones(2))
    export(network.frozen(), (2,), path)


def clipped_cost(path: Path) -> None:
    network = Icnn(2, [8, 8])
    trained(network, tilted_bowl, 2 * np.ones(2))
    corners = torch.tensor([[a, b] for a in (-2.0, 2.0) for b in (-2.0, 2.0)])
    with torch.no_grad():
        highest = float(network(corners).max())
    export(Clipped(network, cap=float(np.ceil(highest) + 1.0)), (2,), path)


def two_outputs(path: Path) -> None:
    export(trained(TwoHeads(3, [10, 10]), dispatch, np.ones(3)), (3,), path)


# ------------------------------------------------------------------ exact models


def tournament(
    pieces: Matrix, offsets: Matrix, *, first_round: int = 1
) -> tuple[list[Matrix], list[Matrix]]:
    """Return (weights, biases) of the maximum of affine pieces as a ReLU tournament.

    Each pair plays ``max(a, b) = relu(a - b) + relu(b) - relu(-b)``; the last two terms
    pass b through. With ``first_round = -1`` the first round takes minima.

    Parameters
    ----------
    pieces : array of shape (K, d), K a power of two, on a grid that float32 holds exactly
    offsets : array of shape (K,)
    """
    weights, biases = [], []
    signal, constant, sign = pieces, offsets, first_round
    while len(signal) > 1:
        rows, shifts = [], []
        for a, b in zip(range(0, len(signal), 2), range(1, len(signal), 2), strict=True):
            rows += [sign * (signal[a] - signal[b]), signal[b], -signal[b]]
            shifts += [sign * (constant[a] - constant[b]), constant[b], -constant[b]]
        weights.append(np.array(rows))
        biases.append(np.array(shifts))
        winners = len(signal) // 2
        signal = np.kron(np.eye(winners, dtype=np.float32), np.array([[sign, 1.0, -1.0]]))
        constant, sign = np.zeros(winners, dtype=np.float32), 1
    return [*weights, signal], [*biases, constant]


def on_grid(values: NDArray[np.float64], step: float) -> Matrix:
    """Round to multiples of a power of two."""
    return (np.round(values / step) * step).astype(np.float32)


def max_affine(path: Path) -> None:
    rng = np.random.default_rng(8)
    pieces = on_grid(rng.normal(size=(8, 3)), 1 / 16)
    offsets = on_grid(0.3 * rng.normal(size=8), 1 / 16)
    write_feedforward(*tournament(pieces, offsets), path)


def max_min_affine(path: Path) -> None:
    rng = np.random.default_rng(8)
    pieces = on_grid(rng.normal(size=(8, 3)), 1 / 16)
    offsets = on_grid(0.3 * rng.normal(size=8), 1 / 16)
    write_feedforward(*tournament(pieces, offsets, first_round=-1), path)


def mpc_cuts(path: Path) -> None:
    states = np.array(
        [[0, 0], [2.5, 1.5], [-2.5, -1.5], [2.5, -1], [-2.5, 1], [0.5, 1.8], [-0.5, -1.8], [1.2, 0]]
    )
    solved = [RecedingHorizon().value_and_slope(x) for x in states]
    slopes = on_grid(np.array([slope for _, slope in solved]), 1 / 64)
    offsets = np.array([v - s @ x for (v, s), x in zip(solved, states, strict=True)])
    write_feedforward(*tournament(slopes, on_grid(offsets, 1 / 64)), path)


def newsvendor(path: Path, penalties: list[float]) -> None:
    """Stock x_i against demands D: ``sum over_i relu(x_i - D) + under_i relu(D - x_i)``.

    Shortages are counted in packs of four, so the twin rows are (1, -D) and (-4, 4 D).
    """
    demands = np.array([[1.0, 2.0, 3.5, 5.0], [0.5, 1.5, 2.0, 4.0], [2.0, 2.5, 3.0, 6.0]])
    over = np.array([0.5, -0.5, 0.25])
    rows, shifts, costs = [], [], []
    for product, (levels, penalty) in enumerate(zip(demands, penalties, strict=True)):
        for demand in levels:
            unit = np.eye(3)[product]
            rows += [unit, -4.0 * unit]
            shifts += [-demand, 4.0 * demand]
            costs += [over[product] / 4, penalty / 16]
    weights = [np.array(rows, dtype=np.float32), np.array([costs], dtype=np.float32)]
    biases = [np.array(shifts, dtype=np.float32), np.array([0.25], dtype=np.float32)]
    write_feedforward(weights, biases, path)


def worst_two(path: Path) -> None:
    returns = on_grid(np.random.default_rng(3).normal(0.05, 0.4, size=(6, 4)), 1 / 64)
    export(WorstTwo(torch.tensor(-returns)), (4,), path)


MAKERS: dict[str, Callable[[Path], None]] = {
    "icnn_log_sum_exp": icnn_log_sum_exp,
    "icnn_needle": icnn_needle,
    "mlp_bowl": mlp_bowl,
    "mlp_portfolio_risk": mlp_portfolio_risk,
    "icnn_mpc_value": icnn_mpc_value,
    "mlp_mpc_value": mlp_mpc_value,
    "mpc_cuts": mpc_cuts,
    "residual_convex": residual_convex,
    "residual_free": residual_free,
    "deep_concat": deep_concat,
    "inactive_negative": inactive_negative,
    "clipped_cost": clipped_cost,
    "two_outputs": two_outputs,
    "max_affine": max_affine,
    "max_min_affine": max_min_affine,
    "newsvendor": lambda path: newsvendor(path, [2.0, 1.0, 3.0]),
    "newsvendor_subsidy": lambda path: newsvendor(path, [2.0, 0.25, 3.0]),
    "worst_two": worst_two,
    "beyond_icnn": lambda path: export(BeyondIcnn(), (2,), path),
    "tv_huber": lambda path: export(
        PatchPotential([0.25, 0.5, 0.25], [0.25, 0.5]), (1, 2, 2), path
    ),
    "tv_truncated": lambda path: export(PatchPotential([1.0, -1.0], [0.5]), (1, 2, 2), path),
}


# --------------------------------------------------------------------- witnesses


def find_witness(
    path: Path, lower: FloatArray, upper: FloatArray, output: int
) -> tuple[list[float], list[float], Fraction] | None:
    """Search pairs of a box that break midpoint convexity; the best one is re-evaluated exactly.

    Points are multiples of 1/32, so that their decimals are exact.
    """
    rng = np.random.default_rng(1)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    model = ExactModel(path)
    scale = 1 / 32
    x, y = (
        np.clip(
            np.round(rng.uniform(lower, upper, (200_000, lower.size)) / scale) * scale, lower, upper
        )
        for _ in range(2)
    )

    def evaluate(points: FloatArray) -> NDArray[np.float32]:
        batch = points.astype(np.float32).reshape(-1, *model.shape)
        return np.asarray(session.run(None, {"x": batch})[0]).reshape(len(points), -1)[:, output]

    gaps = evaluate((x + y) / 2) - (evaluate(x) + evaluate(y)) / 2
    best = int(np.argmax(gaps))
    violation = model.violation(x[best].tolist(), y[best].tolist(), output)
    return (x[best].tolist(), y[best].tolist(), violation) if violation > 0 else None


def write_witnesses() -> list[str]:
    """Write an exact counterexample for every non-convex row; return the rows without one."""
    manifest = tomllib.loads((FOLDER / "manifest.toml").read_text())
    lines = [
        "# For every non-convex row of manifest.toml two points of its domain whose midpoint",
        "# violation f((x + y)/2) - (f(x) + f(y))/2 is positive in exact arithmetic.",
    ]
    missing = []
    for row in manifest["model"]:
        if row["expected"] != "nonconvex":
            continue
        path = FOLDER / row["file"]
        model = ExactModel(path)
        radius: Any = np.full(model.inputs, 8.0)
        lower, upper = -radius, radius
        if row["domain"] != "everywhere":
            lower = np.zeros(model.inputs) + row["domain"]["lower"]
            upper = np.zeros(model.inputs) + row["domain"]["upper"]
        if path.stem == "icnn_needle":
            lower = upper - 0.25
        output = row.get("output", 0)
        found = find_witness(path, lower, upper, output)
        if found is None:
            missing.append(f"{path.name} output {output}")
            continue
        x, y, violation = found
        lines += ["", "[[witness]]", f'file = "{path.name}"', f"output = {output}"]
        lines += [f"x = {x}", f"y = {y}", f"violation = {float(violation):.6g}"]
    (FOLDER / "witnesses.toml").write_text("\n".join(lines) + "\n")
    return missing


def main(names: list[str]) -> int:
    """Make all models, or the named ones, and the witnesses."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in names or MAKERS:
        torch.manual_seed(1)
        path = FOLDER / f"{name}.onnx"
        print(f"{path.name}")
        MAKERS[name](path)
    missing = write_witnesses()
    for row in missing:
        print(f"no violation found for {row}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
