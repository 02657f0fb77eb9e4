"""Control: a certified convex value function makes every later decision a convex problem.

The cost to go of a stock x with orders u >= 0 and piecewise linear costs is the value of a
linear program, so it is convex in x. A free ReLU network learns it and is proved convex.
Decisions with it are then convex programs, solved to their global optimum.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linprog
from torch import nn

import jensen

DEMAND = np.array([[0.6, 0.3], [0.2, 0.7], [0.5, 0.5]])  # of two products, over three days
BOX = jensen.Box(-1, 2)


def cost_to_go(stock: np.ndarray) -> float:
    """Return the least cost of three days: |stock| after each day, plus 1.5 u^1 for orders."""
    days, products = DEMAND.shape
    size = days * products
    # variables: orders u, sizes s of the stocks; s >= +-(stock + orders so far - demand so far)
    so_far = np.kron(np.tril(np.ones((days, days))), np.eye(products))
    left = (stock - DEMAND.cumsum(axis=0)).reshape(-1)
    A = np.block([[so_far, -np.eye(size)], [-so_far, -np.eye(size)]])
    capacity = np.hstack([np.kron(np.eye(days), np.ones((1, products))), np.zeros((days, size))])
    limits = np.concatenate([-left, left, np.full(days, 0.9)])
    costs = np.concatenate([np.full(size, 0.3), np.ones(size)])
    return float(linprog(costs, np.vstack([A, capacity]), limits).fun)


def main(count: int = 800, steps: int = 2500, width: int = 24) -> jensen.learning.ConvexTraining:
    """Learn the cost to go, prove it convex, and order with it."""
    torch.manual_seed(0)
    stocks = np.random.default_rng(0).uniform(-1, 2, (count, 2))
    costs = torch.tensor([[cost_to_go(x)] for x in stocks], dtype=torch.float32)
    x = torch.tensor(stocks, dtype=torch.float32)
    module = nn.Sequential(
        nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
    )

    def loss(network: nn.Module) -> torch.Tensor:
        return (network(x) - costs).square().mean()

    result = jensen.learning.make_convex(module, loss, BOX, steps=steps)
    print(result.summary)
    print(f"error {loss(result.module).item() ** 0.5 / costs.std().item():.3f} of the spread")
    # where to go from an empty stock if every unit costs 0.3: argmin 0.3 x + V(x), x >= 0
    value = jensen.ConvexFunction(result.network, BOX, verdict=result.verdict)
    best = value.minimise([0.3, 0.3], A=-np.eye(2), b=np.zeros(2))
    print(f"order up to {np.round(best.x, 2)}: total cost {best.value:.3f}, the global optimum")
    return result


if __name__ == "__main__":
    main()
