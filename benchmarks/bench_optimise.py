"""Time minimisation over networks that were proved convex; one table of all problems.

    python benchmarks/bench_optimise.py                          all but the folder, some minutes
    python benchmarks/bench_optimise.py facility control         some of them
    python benchmarks/bench_optimise.py trained --folder DIR     networks of your own

DIR holds index.json, a list of `file`, `box`, `convex_on_box`, and .npz files of W0, b0, W1, ...

Against the same problems with one binary per ReLU, by HiGHS: the package's own big-M program,
and, where it is installed, OMLT's. `--gurobi` adds gurobi-machinelearning's, solved by Gurobi
within the limits of its free licence. CPU time; convexity is proved before the clock starts, since
one proof serves all problems.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyomo.environ as pyo
import scipy.optimize
from denoising import denoise, denoise_learned
from minimisers import LIMIT, Problem, by_big_m, by_cuts, by_gurobi, by_omlt
from rich.console import Console
from rich.table import Table

import jensen
from jensen import Box, ConvexFunction, ReluNetwork, ScenarioSum, surrogate
from jensen.network.relu_network import Activation, Block
from jensen_encodings import SolveOptions, solve_model


def random_rows(rng: np.random.Generator, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(2, inputs)), np.full(2, 0.5)


def timed(run: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    value = run()
    return value, time.process_time() - start


# ------------------------------------------------------------------------------ families


def trained(folder: Path, problems: int, *, gurobi: bool) -> Iterator[list[str]]:
    """Networks trained freely on convex functions; those that are proved convex in time."""
    for entry in json.loads((folder / "index.json").read_text()):
        if not entry.get("convex_on_box"):
            continue
        stored = np.load(folder / entry["file"])
        depth = len(stored.files) // 2
        weights = [stored[f"W{k}"].astype(float) for k in range(depth)]
        biases = [stored[f"b{k}"].astype(float) for k in range(depth)]
        network, box = ReluNetwork.from_layers(weights, biases), Box(*entry["box"])
        start = time.process_time()
        try:
            f = ConvexFunction(network, box, time_limit=LIMIT)
        except jensen.UndecidedError:
            continue
        proof = time.process_time() - start
        name = f"{entry['file'].removesuffix('.npz')}, proved in {proof:.2f} s"
        yield compared(f, network, box, problems, name, gurobi=gurobi)


def compared(
    f: ConvexFunction, network: ReluNetwork, box: Box, problems: int, name: str, *, gurobi: bool
) -> list[str]:
    """Solve some problems in every way and compare the optima."""
    ways: dict[str, Callable[[Problem], float]] = {"big_m": by_big_m}
    if find_spec("omlt") and all(len(b.weights) == 1 for b in network.blocks):
        ways["omlt"] = by_omlt
    if gurobi:
        ways["gurobi"] = by_gurobi
    times: dict[str, list[float]] = {"cuts": []} | {way: [] for way in ways}
    worst, stopped = 0.0, {}
    for seed in range(problems):
        rng = np.random.default_rng(seed)
        linear = 0.5 * rng.normal(size=network.input_size)
        problem = Problem(network, box, linear, *random_rows(rng, network.input_size))
        value, seconds = timed(lambda problem=problem: by_cuts(f, problem))
        times["cuts"].append(seconds)
        for way, solve in ways.items():
            other, seconds = timed(lambda solve=solve, problem=problem: solve(problem))
            times[way].append(seconds)
            if not np.isnan(other):
                worst = max(worst, abs(other - value) / max(1.0, abs(value)))
            else:
                stopped[way] = stopped.get(way, 0) + 1
    row = [name, f"{statistics.median(times['cuts']):.4f} s"]
    for way in ("big_m", "omlt", "gurobi"):
        if way not in times:
            row.append("-")
            continue
        ratios = [t / c for t, c in zip(times[way], times["cuts"], strict=True)]
        ended = f", {stopped[way]} of {problems} stopped" if way in stopped else ""
        middle = f"{statistics.median(times[way]):.3f} s ({statistics.median(ratios):.0f}x)"
        row.append(middle + ended)
    return [*row, f"{worst:.1e}"]


def icnn(inputs: int, widths: tuple[int, ...], seed: int) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    blocks: list[Block] = []
    for index, width in enumerate(widths):
        weights = {"input": rng.normal(size=(width, inputs)) / np.sqrt(inputs)}
        if blocks:
            size = blocks[-1].size
            weights[blocks[-1].name] = np.abs(rng.normal(size=(width, size))) / size
        blocks.append(Block(f"relu_{index + 1}", weights, rng.normal(size=width) / 2))
    last = {blocks[-1].name: np.abs(rng.normal(size=(1, widths[-1]))) / widths[-1]}
    blocks.append(Block("output", last, np.zeros(1), Activation.IDENTITY))
    return ReluNetwork(inputs, blocks)


def trained_icnns(problems: int, *, gurobi: bool) -> Iterator[list[str]]:
    """Input-convex networks of 10 to 20 inputs, fitted to the value of a linear program."""
    for inputs, widths in ((10, (32, 32)), (15, (48, 48)), (20, (64, 64))):
        network = _fitted(inputs, widths)
        box = Box(-1, 1)
        f = ConvexFunction(network, box)
        name = f"trained ICNN, {inputs}-D {list(widths)}"
        yield compared(f, network, box, problems, name, gurobi=gurobi)


def _fitted(inputs: int, widths: tuple[int, int], steps: int = 1500) -> ReluNetwork:
    import torch  # noqa: PLC0415  (optional)

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(inputs)
    losses = torch.randn(2 * inputs, inputs, generator=generator) / inputs**0.5
    shifts = 0.5 * torch.randn(2 * inputs, generator=generator)
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(inputs, widths[0]),
        torch.nn.ReLU(),
        torch.nn.Linear(widths[0], widths[1]),
        torch.nn.ReLU(),
        torch.nn.Linear(widths[1], 1),
    )
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    for _ in range(steps):
        x = 2 * torch.rand(256, inputs, generator=generator) - 1
        # max of l (A x + b) over 0 <= l <= 1, sum l = n
        value = (x @ losses.T + shifts).topk(inputs // 2, dim=1).values.sum(1)
        optimizer.zero_grad()
        (module(x)[:, 0] - value).square().mean().backward()
        optimizer.step()
        jensen.learning.clip_to_icnn_(module)
    return jensen.from_torch(module, inputs)


def random_problems(count: int) -> Iterator[list[str]]:
    """Many small problems: the optimum is that of big-M."""
    worst, ratios = 0.0, []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        inputs = int(rng.integers(1, 7))
        network, box = icnn(inputs, (8, 6), seed), Box(-1, 1)
        linear = 0.3 * rng.normal(size=inputs)
        problem = Problem(network, box, linear, *random_rows(rng, inputs))
        f = ConvexFunction(network, box)
        value, seconds = timed(lambda f=f, problem=problem: by_cuts(f, problem))
        other, longer = timed(lambda problem=problem: by_big_m(problem))
        worst = max(worst, abs(other - value) / max(1.0, abs(value)))
        ratios.append(longer / seconds)
    yield [
        f"{count} random problems",
        "",
        f"{statistics.median(ratios):.0f}x",
        "",
        "",
        f"{worst:.1e}",
    ]


SITES, REGIONS = 8, 4


def fitted_recourse(rng: np.random.Generator) -> tuple[ReluNetwork, float]:
    """Return a convex fit of the cost of serving regions from open sites, and its R^2."""
    capacity = rng.uniform(6, 12, SITES)
    freight = rng.uniform(1, 6, (SITES, REGIONS))
    penalty = 15.0

    def recourse(open_: np.ndarray, demand: np.ndarray) -> float:
        # ship s_ij >= 0 within open capacities; what is missing costs a penalty
        costs = np.append(freight.ravel(), np.full(REGIONS, penalty))
        supply = np.hstack(
            [np.kron(np.eye(SITES), np.ones((1, REGIONS))), np.zeros((SITES, REGIONS))]
        )
        served = -np.hstack([np.tile(np.eye(REGIONS), (1, SITES)), np.eye(REGIONS)])
        found = scipy.optimize.linprog(
            costs, np.vstack([supply, served]), np.append(capacity * open_, -demand)
        )
        return float(found.fun)

    samples = np.hstack([rng.uniform(0, 1, (400, SITES)), rng.uniform(2, 14, (400, REGIONS))])
    targets = np.array([recourse(s[:SITES], s[SITES:]) for s in samples])
    # non-negative combinations of many random ReLUs, by non-negative least squares
    units, width = 200, SITES + REGIONS
    slopes = rng.normal(size=(units, width)) / np.append(np.ones(SITES), np.full(REGIONS, 8))
    shifts = -(slopes * samples[rng.integers(0, 400, units)]).sum(axis=1)
    features = np.maximum(samples @ slopes.T + shifts, 0.0)
    signed = np.hstack([features, samples, -samples, np.ones((400, 1)), -np.ones((400, 1))])
    fit, error = scipy.optimize.nnls(signed, targets)
    kept = np.flatnonzero(fit[:units] > 0)
    linear = fit[units : units + width] - fit[units + width : units + 2 * width]
    weights = {"relu_1": fit[kept][None], "input": linear[None]}
    bias = np.array([fit[-2] - fit[-1]])
    blocks = [
        Block("relu_1", {"input": slopes[kept]}, shifts[kept]),
        Block("output", weights, bias, Activation.IDENTITY),
    ]
    unexplained = error**2 / ((targets - targets.mean()) ** 2).sum()
    return ReluNetwork(width, blocks), 1 - float(unexplained)


def best_choice(network: ReluNetwork, fixed: np.ndarray, demands: np.ndarray) -> float:
    """Return the least cost over all choices of open sites, evaluated one by one."""
    choices = np.array(list(itertools.product([0.0, 1.0], repeat=SITES)))
    costs = choices @ fixed
    for demand in demands:
        met = np.hstack([choices, np.tile(demand, (len(choices), 1))])
        costs += network(met)[:, 0] / len(demands)
    return float(costs.min())


def facility(scenarios: int = 50) -> Iterator[list[str]]:
    """Open sites now, serve what is asked for later: a trained recourse cost, 50 scenarios."""
    rng = np.random.default_rng(0)
    network, explained = fitted_recourse(rng)
    demands = rng.uniform(3, 13, (scenarios, REGIONS))
    contexts = [dict(zip(range(SITES, SITES + REGIONS), d.tolist(), strict=True)) for d in demands]
    fixed = rng.uniform(10, 25, SITES)

    total = ScenarioSum(network, contexts, Box(0, 1))
    value, seconds = timed(lambda: total.forget().minimise(fixed, integers=range(SITES)).value)
    best = best_choice(network, fixed, demands)
    stopped: list[bool] = []

    def big_m() -> float:
        model = pyo.ConcreteModel()
        model.open = pyo.Var(range(SITES), domain=pyo.Binary)
        box = Box([0] * SITES + [2] * REGIONS, [1] * SITES + [14] * REGIONS)
        nets = [
            surrogate.add_network(
                model,
                network,
                [*model.open.values(), *context.values()],
                domain=box,
                formulation="big_m",
            )
            for context in contexts
        ]
        first = sum(fixed[i] * model.open[i] for i in range(SITES))
        model.goal = pyo.Objective(expr=first + sum(n.output for n in nets) / scenarios)
        found = solve_model(model, SolveOptions(time_limit=LIMIT, relative_gap=1e-6))
        stopped.append(found.status != "optimal")
        return np.nan if found.objective is None else found.objective

    other, longer = timed(big_m)
    others = [best] if stopped[0] else [best, other]
    miss = max(abs(v - value) for v in others) / abs(value)
    ratio = f"{longer:.2f} s ({longer / seconds:.0f}x)"
    if stopped[0]:
        ratio += f", stopped at {(other - best) / abs(best):+.1e} of the best of all choices"
    name = f"facility, {scenarios} scenarios, {network.relu_count} ReLUs, R^2 {explained:.3f}"
    yield [name, f"{seconds:.3f} s", ratio, "-", "-", f"{miss:.1e}"]


def control(steps: int = 200) -> Iterator[list[str]]:
    """A closed loop: in each step the input that minimises stage cost and learned value."""
    value = jensen.load(Path(__file__).parent.parent / "models" / "icnn_mpc_value.onnx")
    A, B = np.array([[1.0, 0.125], [0.0, 1.0]]), np.array([[0.0], [0.125]])
    # Q(x, u) = |x|_1 / 4 + |u| / 8 + V(A x + B u): one network in (x, u)
    eye = np.eye(3)
    ahead = Block("ahead", {"input": np.hstack([A, B])}, np.zeros(2), Activation.IDENTITY)
    stage = Block("stage", {"input": np.vstack([eye, -eye])}, np.zeros(6))
    blocks = [ahead, stage]
    for block in value.blocks:
        weights = {("ahead" if s == "input" else s): w for s, w in block.weights.items()}
        if block.name == "output":
            weights["stage"] = np.array([[0.25, 0.25, 0.125, 0.25, 0.25, 0.125]])
        blocks.append(Block(block.name, weights, block.bias, block.activation))
    network = ReluNetwork(3, blocks)
    f = ConvexFunction(network, Box([-3, -3, -2], [3, 3, 2]))

    def loop(decide: Callable[[np.ndarray], float]) -> float:
        x, cost = np.array([2.0, -1.0]), 0.0
        rng = np.random.default_rng(0)
        for _ in range(steps):
            u = decide(x)
            cost += float(np.abs(x).sum() / 4 + abs(u) / 8)
            x = np.clip(A @ x + B[:, 0] * u + 0.02 * rng.normal(size=2), -3, 3)
        return cost

    def by_function(x: np.ndarray) -> float:
        return float(f.minimise(fixed={0: x[0], 1: x[1]}).x[2])

    def by_program(x: np.ndarray) -> float:
        model = pyo.ConcreteModel()
        model.u = pyo.Var(bounds=(-2, 2))
        net = surrogate.add_network(
            model, network, [*x, model.u], domain=Box([-3, -3, -2], [3, 3, 2]), formulation="big_m"
        )
        model.goal = pyo.Objective(expr=net.output)
        solve_model(model)
        return float(pyo.value(model.u))

    cost, seconds = timed(lambda: loop(by_function))
    other, longer = timed(lambda: loop(by_program))
    miss = abs(other - cost) / cost
    ratio = f"{longer:.2f} s ({longer / seconds:.0f}x)"
    yield [f"closed loop of {steps} steps", f"{seconds:.2f} s", ratio, "-", "-", f"{miss:.1e}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help="all but trained, if none is named")
    parser.add_argument("--folder", type=Path, help="of trained networks")
    parser.add_argument("--problems", type=int, default=5, help="per trained network")
    parser.add_argument("--count", type=int, default=200, help="of random problems")
    parser.add_argument("--gurobi", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    gurobi = arguments.gurobi
    rows: dict[str, Callable[[], Iterator[list[str]]]] = {
        "random": lambda: random_problems(arguments.count),
        "icnn": lambda: trained_icnns(arguments.problems, gurobi=gurobi),
        "facility": facility,
        "small-facility": lambda: facility(scenarios=8),
        "control": control,
        "denoise": denoise,
        "learned-denoise": denoise_learned,
    }
    if arguments.folder is not None:
        rows["trained"] = lambda: trained(arguments.folder, arguments.problems, gurobi=gurobi)
    table = Table("problem", "cuts", "big-M, HiGHS", "OMLT, HiGHS", "Gurobi", "difference")
    for family in arguments.families or [name for name in rows if name != "trained"]:
        if family not in rows:
            parser.error(f"no family {family}; there are {', '.join(rows)} (trained with --folder)")
        for row in rows[family]():
            table.add_row(*row)
            print(" | ".join(row), file=sys.stderr, flush=True)
    Console(width=200).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
