"""Descend a smoothed jump along the kinks (docs/theory.md, section 11)."""

from __future__ import annotations

import numpy as np

from jensen.groups import SOURCE, GroupedNetwork
from jensen.network import FloatArray

Unit = tuple[int, int]


class Descent:
    def __init__(self, net: GroupedNetwork, groups: list[Unit], lower, upper, rows=None, limits=None, lifted=False):
        self.net, self.groups = net, groups
        self.lower, self.upper = lower, upper
        self.rows, self.limits = rows, limits
        self.lifted = lifted
        self.start = []
        for k, lv in enumerate(net.levels):
            S = np.zeros((len(groups), lv.size))
            for i, (L, u) in enumerate(groups):
                sl = lv.slopes.get(L)
                if sl is not None:
                    S[i] = sl.on[:, u] - (0 if sl.off is None else sl.off[:, u])
            self.start.append(S)
        self.level = np.array([g[0] for g in groups])
        self.unit = np.array([g[1] for g in groups])

    def forward(self, X):
        return self.net.pre_activations(X)

    def back(self, z, dz):
        """Gradient in X of sum dz_k z_k through the hard network."""
        net = self.net
        D = [d.copy() if d is not None else None for d in dz]
        gx = 0.0
        for k in range(len(net.levels) - 1, -1, -1):
            if D[k] is None:
                continue
            for s, sl in net.levels[k].slopes.items():
                if s == SOURCE:
                    gx = gx + D[k] @ sl.on
                    continue
                kink = net.levels[s].kink
                part = D[k] @ sl.on
                pos = ~kink | (z[s] > 0)
                if sl.off is None:
                    part = np.where(pos, part, 0.0)
                else:
                    part = np.where(pos, part, D[k] @ sl.off)
                D[s] = part if D[s] is None else D[s] + part
        return gx

    def slopes(self, sig, which):
        """U forward, B backward under soft states sig (rows, units)."""
        net = self.net
        n = len(net.levels)
        U, B = [None] * n, [None] * n
        for k in range(n):
            t = self.start[k][which]
            for s, sl in net.levels[k].slopes.items():
                if s == SOURCE or U[s] is None:
                    continue
                t = t + (U[s] * sig[s]) @ sl.on.T
                if sl.off is not None:
                    t = t + (U[s] * (1 - sig[s])) @ sl.off.T
            U[k] = t
        return U

    def jump_gradient(self, z, sig, dsig, which):
        net = self.net
        n = len(net.levels)
        U = self.slopes(sig, which)
        B = [np.zeros_like(zz) for zz in z]
        B[-1][:] = 1.0
        dz = [None] * n
        for k in range(n - 1, -1, -1):
            for s, sl in net.levels[k].slopes.items():
                if s == SOURCE:
                    continue
                on = B[k] @ sl.on
                if sl.off is None:
                    B[s] += sig[s] * on
                    d = on
                else:
                    off = B[k] @ sl.off
                    B[s] += sig[s] * on + (1 - sig[s]) * off
                    d = on - off
                dd = U[s] * d * dsig[s]
                dz[s] = dd if dz[s] is None else dz[s] + dd
        dz[-1] = None
        return U[-1][:, 0], dz

    def on_kink(self, X, which, steps=2):
        for _ in range(steps):
            z = self.forward(X)
            zg, grad = self.kink_gradient(z, which)
            X = self.newton(X, zg, grad)
        return X

    def newton(self, X, zg, grad):
        """Step to z_g = 0 by the inputs that are free to move; those on their way out stay."""
        for _ in range(3):
            move = -np.sign(zg)[:, None] * grad
            stuck = ((X <= self.lower) & (move < 0)) | ((X >= self.upper) & (move > 0))
            g = np.where(stuck, 0.0, grad)
            sq = np.maximum((g * g).sum(1), 1e-300)
            Y = np.clip(X - (zg / sq)[:, None] * g, self.lower, self.upper)
            zg = zg + ((Y - X) * grad).sum(1)
            X = Y
        return X

    def kink_gradient(self, z, which):
        dz = [None] * len(z)
        r = np.arange(len(which))
        zg = np.zeros(len(which))
        for k in np.unique(self.level[which]):
            m = self.level[which] == k
            dz[k] = np.zeros_like(z[k])
            dz[k][r[m], self.unit[which][m]] = 1.0
            zg[m] = z[k][r[m], self.unit[which][m]]
        g = self.back(z, dz)
        return zg, np.broadcast_to(g, (len(which), self.net.working_set.dim))

    def true_jump(self, X, which):
        z = self.forward(X)
        sig = [np.where(lv.kink, zz > 0, True).astype(float) for lv, zz in zip(self.net.levels, z)]
        U = self.slopes(sig, which)
        zg, _ = self.kink_gradient(z, which)
        return U[-1][:, 0], zg

    def run(self, X, which, steps=40, first=1.0, last=0.01, step=0.1):
        width = self.upper - self.lower
        best = np.full(len(X), np.inf)
        bestX = X.copy()
        z = self.forward(X)
        scale = [np.maximum(np.abs(zz).mean(0), 1e-12) for zz in z]
        for i in range(steps):
            z = self.forward(X)
            zg, grad = self.kink_gradient(z, which)
            X = self.newton(X, zg, grad)
            tau = first * (last / first) ** (i / max(steps - 1, 1))
            z = self.forward(X)
            sig, dsig = [], []
            for lv, zz, sc in zip(self.net.levels, z, scale):
                t = 1 / (1 + np.exp(-np.clip(zz / (sc * tau), -40, 40)))
                sig.append(np.where(lv.kink, t, 1.0))
                dsig.append(np.where(lv.kink, t * (1 - t) / (sc * tau), 0.0))
            J, dz = self.jump_gradient(z, sig, dsig, which)
            d = self.back(z, dz)
            for _ in range(2):
                stuck = ((X <= self.lower) & (d > 0)) | ((X >= self.upper) & (d < 0))
                d = np.where(stuck, 0.0, d)
                g = np.where(stuck, 0.0, grad)
                sq = np.maximum((g * g).sum(1), 1e-300)
                d = d - ((d * g).sum(1) / sq)[:, None] * g
            norm = np.sqrt(((d) ** 2).sum(1))[:, None]
            move = step * tau ** 0.5 * d / np.maximum(norm, 1e-300) * width.mean()
            X = np.clip(X - move, self.lower, self.upper)
        X = self.on_kink(X, which, 3)
        J, zg = self.true_jump(X, which)
        return X, J, zg
