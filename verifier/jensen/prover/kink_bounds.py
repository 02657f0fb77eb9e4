"""Bounds of every unit over the domain *and* the kink of one group (docs/theory.md, section 11)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jensen.groups import SOURCE, GroupedNetwork
from jensen.intervals import SAFETY, SUBNORMAL, UNIT, rounding_factor
from jensen.network import FloatArray

Unit = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Piece:
    lower: FloatArray
    upper: FloatArray
    rows: FloatArray
    limits: FloatArray

    @cached_property
    def reach(self) -> FloatArray:
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    @cached_property
    def middle(self):
        return 0.5 * self.lower + 0.5 * self.upper

    @cached_property
    def radius(self):
        return 0.5 * self.upper - 0.5 * self.lower


def least(A, c, piece, n=None, beta=0.0, above=False):
    """Lower bounds of ``A y + c`` over the piece's box and ``n y + beta = 0`` (``>= 0``)."""
    lower, upper, reach = piece.lower, piece.upper, piece.reach
    size = np.abs(A)
    if n is None:
        value = np.maximum(A, 0) @ lower + np.minimum(A, 0) @ upper + c
        error = rounding_factor(2 * A.shape[1] + 2) * (size @ reach + np.abs(c))
        return np.nextafter(value - error - SUBNORMAL * 4 * (A.shape[1] + 1), -np.inf)
    weights = piece.radius * np.abs(n)
    used = np.flatnonzero(weights > 0)
    lam = np.zeros(len(A))
    if len(used):
        ratios = A[:, used] / n[used]
        order = np.argsort(ratios, axis=1)
        w = weights[used]
        cum = np.cumsum(w[order], axis=1)
        half = 0.5 * (w.sum() - (beta + n @ piece.middle))
        index = np.minimum((cum < half).sum(axis=1), len(used) - 1)
        rows = np.arange(len(A))
        lam = ratios[rows, order[rows, index]]
        if above:
            lam = np.maximum(lam, 0.0)
        lam[~np.isfinite(lam)] = 0.0
    rest = A - lam[:, None] * n
    value = np.maximum(rest, 0) @ lower + np.minimum(rest, 0) @ upper + c - lam * beta
    magnitude = (size + np.abs(lam)[:, None] * np.abs(n)) @ reach + np.abs(c) + np.abs(lam * beta)
    error = rounding_factor(2 * A.shape[1] + 6) * magnitude
    return np.nextafter(value - SAFETY * error - SUBNORMAL * 8 * (A.shape[1] + 1), -np.inf)


class KinkBounds:
    """Bounds on the kinks of a network's groups over one piece."""

    def __init__(self, net: GroupedNetwork, piece: Piece) -> None:
        self.net = net
        self.piece = piece
        self._abs = [
            {s: (np.abs(sl.on), None if sl.off is None else np.abs(sl.off)) for s, sl in lv.slopes.items()}
            for lv in net.levels
        ]

    def lines(self, k, rows, lo, hi, group):
        """Lower linear forms in y of ``z[rows]`` and ``-z[rows]``: (A, c) with errors in c."""
        net, piece = self.net, self.piece
        m = 2 * len(rows)
        on, off = {}, {}
        A = np.zeros((m, len(piece.lower)))
        level = net.levels[k]
        c = np.concatenate([level.bias[rows], -level.bias[rows]])
        err = np.zeros(m)
        tiny = np.zeros(m)

        def push(kk, coef, rows=None):
            nonlocal A
            lv = net.levels[kk]
            for s, sl in lv.slopes.items():
                W = sl.on if rows is None else sl.on[rows]
                part = coef @ W if coef is not None else np.concatenate([W, -W])
                if s == SOURCE:
                    A += part
                    continue
                on[s] = on[s] + part if s in on else part
                if sl.off is not None:
                    W = sl.off if rows is None else sl.off[rows]
                    part = coef @ W if coef is not None else np.concatenate([W, -W])
                    off[s] = off[s] + part if s in off else part

        def weight(kk, rows=None):
            lv = net.levels[kk]
            w = np.abs(lv.bias) if rows is None else np.abs(lv.bias[rows])
            terms = 8
            for s, (pon, poff) in self._abs[kk].items():
                p = pon if poff is None else np.maximum(pon, poff)
                if rows is not None:
                    p = p[rows]
                r = piece.reach if s == SOURCE else np.maximum(np.abs(lo[s]), np.abs(hi[s]))
                w = w + p @ r
                terms += p.shape[1]
            return rounding_factor(terms + lv.size) * w

        push(k, None, rows)
        w = weight(k, rows)
        err += np.concatenate([w, w])
        for kk in range(k - 1, -1, -1):
            if kk not in on and kk not in off:
                continue
            lv = net.levels[kk]
            con = on.pop(kk, None)
            coff = off.pop(kk, None)
            l, u = lo[kk], hi[kk]
            stable_on = ~lv.kink | (l >= 0)
            stable_off = lv.kink & (u <= 0)
            free = ~stable_on & ~stable_off
            zr = np.maximum(np.abs(l), np.abs(u))
            s = np.where(free, np.clip(u / np.where(free, u - l, 1), 0, 1), 0.0)
            t = np.where(free, np.maximum(-s * l, u * (1 - s)) * (1 + 8 * UNIT) + 2 * SUBNORMAL, 0.0)
            al = np.where(free & (u > -l), 1.0, 0.0)
            if coff is None:
                up, down = np.maximum(con, 0), np.minimum(con, 0)
                cz = up * np.where(stable_on, 1.0, al) + down * np.where(stable_on, 1.0, s)
                lift = down @ t
                size = np.abs(con)
            else:
                ch = con - coff
                up, down = np.maximum(ch, 0), np.minimum(ch, 0)
                cz = coff + up * al + down * s
                cz = np.where(stable_on, con, np.where(stable_off, coff, cz))
                lift = np.where(free, down, 0) @ t
                size = np.abs(con) + np.abs(coff)
            if group is not None and kk == group[0]:
                cz[:, group[1]] = 0.0
            c += lift
            c += cz @ lv.bias
            err += size @ (4 * UNIT * zr + rounding_factor(lv.size) * t)
            err += np.abs(cz) @ weight(kk) + 4 * UNIT * np.abs(c)
            tiny += SUBNORMAL * 8 * (lv.size + 1) * (1 + zr.sum())
            push(kk, cz)
        return A, c - SAFETY * (err + 4 * UNIT * np.abs(c)) - tiny

    def group_lines(self, group, lo, hi):
        """Lines above and below z_g: [(n, beta)] with ``n y + beta >= 0`` on the kink."""
        k, u = group
        A, c = self.lines(k, np.array([u]), lo, hi, None)
        # z >= A0 y + c0, so on z = 0: -A0 y - c0 >= 0
        return [(-A[0], -c[0]), (-A[1], -c[1])]

    def is_affine(self, k):
        return set(self.net.levels[k].slopes) == {SOURCE} and self.net.levels[k].slopes[SOURCE].is_exact

    def bounds(self, group, lo, hi):
        """Improve (lo, hi), lists per level, on the kink of a group; False if it is not met."""
        net = self.net
        L, g = group
        affine = self.is_affine(L)
        kink = None
        if affine:
            n = net.levels[L].slopes[SOURCE].on[g]
            beta = net.levels[L].bias[g]
            ends = least(np.stack([n, -n]), np.array([beta, -beta]), self.piece)
            if ends[0] > 0 or ends[1] > 0:
                return False
        else:
            kink = self.group_lines(group, lo, hi)
        for k in range(net.output_level):
            if k == L and not affine:
                kink = self.group_lines(group, lo, hi)
                for nn, bb in kink:
                    if -least(-nn[None], np.array([-bb]), self.piece)[0] < 0:
                        return False
            lv = net.levels[k]
            open_ = (lo[k] < 0) & (hi[k] > 0)
            if k == L:
                open_[g] = False
            rows = np.flatnonzero(open_)
            if not len(rows):
                continue
            A, c = self.lines(k, rows, lo, hi, group)
            if affine:
                low = least(A, c, self.piece, n, beta)
            else:
                low = np.maximum(*(least(A, c, self.piece, nn, bb, True) for nn, bb in kink))
            m = len(rows)
            lo[k] = lo[k].copy()
            hi[k] = hi[k].copy()
            lo[k][rows] = np.fmax(lo[k][rows], low[:m])
            hi[k][rows] = np.fmin(hi[k][rows], -low[m:])
            if (lo[k][rows] > hi[k][rows]).any():
                return False
        return True
