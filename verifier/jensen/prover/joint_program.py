"""The joint program of one group: J over the relaxed kink (docs/theory.md, section 11)."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from jensen.groups import SOURCE, GroupedNetwork
from jensen.intervals import SAFETY, SUBNORMAL, UNIT, rounding_factor
from jensen.jump import FREE, OFF, ON, JumpProblem, JumpState
from jensen.network import FloatArray
from jensen_encodings.lp import QuietHighs

Unit = tuple[int, int]


class Program:
    """min cost x + shift, row_lower <= A x <= row_upper, lower <= x <= upper; bounded columns."""

    def __init__(self, cost, shift, A, row_lower, row_upper, lower, upper):
        self.A, self.cost, self.shift = A, cost, shift
        self.row_lower, self.row_upper = row_lower, row_upper
        self.lower, self.upper = lower, upper
        h = self.highs = QuietHighs()
        for o, v in {"threads": 1, "presolve": "off", "solver": "simplex",
                     "simplex_strategy": 1, 
                     "simplex_scale_strategy": 0,
                     "dual_simplex_cost_perturbation_multiplier": 0.0,
                     }.items():
            h.setOptionValue(o, v)
        lp = highspy.HighsLp()
        rows, columns = A.shape
        lp.num_col_, lp.num_row_ = columns, rows
        lp.col_cost_ = cost
        lp.col_lower_, lp.col_upper_ = lower, upper
        lp.row_lower_, lp.row_upper_ = row_lower, row_upper
        ri, ci = np.nonzero(A)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.searchsorted(ri, np.arange(rows + 1)).astype(np.int32)
        lp.a_matrix_.index_ = ci.astype(np.int32)
        lp.a_matrix_.value_ = A[ri, ci]
        h.passModel(lp)
        self.solves = 0
        self.iters=0
        self.size = np.abs(A)

    def set_column(self, j, lo, hi):
        if self.lower[j] != lo or self.upper[j] != hi:
            self.lower[j], self.upper[j] = lo, hi
            self.highs.changeColBounds(j, lo, hi)

    def set_row(self, i, lo, hi):
        if self.row_lower[i] != lo or self.row_upper[i] != hi:
            self.row_lower[i], self.row_upper[i] = lo, hi
            self.highs.changeRowBounds(i, lo, hi)

    def set_cost(self, cost):
        self.cost = cost
        self.highs.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)

    def run(self, target=np.inf):
        """Return (proved lower bound, x or None)."""
        h = self.highs
        h.setOptionValue("objective_bound", float(target - self.shift) if np.isfinite(target) else highspy.kHighsInf)
        h.run()
        self.solves += 1
        self.iters += h.getInfo().simplex_iteration_count
        status = h.getModelStatus()
        sol = h.getSolution()
        x = None
        best = -np.inf
        if sol.dual_valid:
            y = np.array(sol.row_dual)
            best = self.bound(y)
        if status == highspy.HighsModelStatus.kOptimal:
            x = np.array(sol.col_value)
        elif status == highspy.HighsModelStatus.kInfeasible:
            _, found, ray = h.getDualRay()
            if found:
                ray = np.array(ray)
                ray /= np.abs(ray).max()
                if self.bound(ray, False) > 0 or self.bound(-ray, False) > 0:
                    best = np.inf
        return best, x, status

    def bound(self, y, cost=True):
        y = np.where((y > 0) & (self.row_lower == -np.inf), 0.0, np.where((y < 0) & (self.row_upper == np.inf), 0.0, y))
        c = self.cost if cost else 0.0
        reduced = c - y @ self.A
        side = np.where(y > 0, self.row_lower, np.where(y < 0, self.row_upper, 0.0))
        reach = np.maximum(np.abs(self.lower), np.abs(self.upper))
        low = np.where(reduced > 0, self.lower, self.upper)
        terms = reduced * low
        value = y @ side + terms.sum()
        f = rounding_factor(len(y) + len(reduced) + 8)
        err = f * (np.abs(y) @ np.abs(side) + (np.abs(y) @ self.size + np.abs(c)) @ reach) + 1e-290
        total = value - SAFETY * err
        if cost:
            total = total + self.shift - UNIT * 4 * abs(self.shift)
        return np.nextafter(total, -np.inf)


class Forms:
    """Forms of z over columns (1 + width), with a bound of their rounding error over the columns' box."""

    def __init__(self, net, group, lo, hi, piece, needed):
        self.net, self.group, self.lo, self.hi, self.piece = net, group, lo, hi, piece
        self.h = {}
        dim = len(piece.lower)
        count = dim
        for k in sorted(needed):
            kink = net.levels[k].kink & needed[k] & (lo[k] < 0) & (hi[k] > 0)
            for u in np.flatnonzero(kink):
                if (k, int(u)) != group:
                    self.h[k, int(u)] = count
                    count += 1
        self.width = count
        self.dim = dim
        self.forms, self.errors = {}, {}
        self.reach = np.concatenate([[1.0], piece.reach, *[[hi[k][u]] for k, u in self.h]])
        for k in range(net.output_level):
            if k in needed or True:
                self._level(k)

    def _level(self, k):
        net = self.net
        lv = net.levels[k]
        F = np.zeros((lv.size, 1 + self.width))
        F[:, 0] = lv.bias
        mag = np.abs(lv.bias)
        err = np.zeros(lv.size)
        terms = 8
        for s, sl in lv.slopes.items():
            if s == SOURCE:
                F[:, 1:1 + self.dim] += sl.on
                mag = mag + np.abs(sl.on) @ self.piece.reach
                terms += self.dim
                continue
            src = net.levels[s]
            l, u = self.lo[s], self.hi[s]
            on = ~src.kink | (l >= 0)
            off = ~on & (u <= 0)
            free = ~on & ~off
            gz = np.zeros(src.size, bool)
            if s == self.group[0]:
                gz[self.group[1]] = True
            P = np.where(on, sl.on, 0.0) if sl.off is None else np.where(on, sl.on, sl.off)
            P = np.where(gz, 0.0, P)
            F += P @ self.forms[s]
            r = np.maximum(np.abs(l), np.abs(u))
            mag = mag + np.abs(P) @ (np.abs(self.forms[s]) @ self.reach)
            err += np.abs(P) @ self.errors[s]
            terms += src.size
            for c in np.flatnonzero(free & ~gz):
                j = self.h.get((s, int(c)))
                if j is None: continue
                d = sl.on[:, c] if sl.off is None else sl.on[:, c] - sl.off[:, c]
                F[:, 1 + j] += d
                mag = mag + (np.abs(sl.on[:, c]) + (0 if sl.off is None else np.abs(sl.off[:, c]))) * u[c]
        err = SAFETY * (err + rounding_factor(terms) * mag) + SUBNORMAL * 8 * (terms + self.reach.sum())
        self.forms[k], self.errors[k] = F, err


class JointProgram:
    def __init__(self, net: GroupedNetwork, group: Unit, jump: JumpProblem, state: JumpState, acts, lo, hi, piece):
        self.net, self.group, self.jump, self.lo, self.hi, self.piece = net, group, jump, lo, hi, piece
        self.acts = acts
        supports = jump.supports
        # units whose state matters
        matters = {}
        pull = jump.slopes_behind()
        for i, (k, units) in enumerate(supports[:-1]):
            free = (acts[k][units] == FREE)
            lowp, highp = pull[i]
            ul, uu = state.lower[i], state.upper[i]
            reach = np.maximum(np.abs(ul), np.abs(uu)) * np.maximum(np.abs(lowp), np.abs(highp))
            m = free & (reach > 0)
            for u in units[m]:
                matters[k, int(u)] = None
        needed = {}
        for k, u in [*matters, group]:
            needed.setdefault(k, np.zeros(net.levels[k].size, bool))[u] = True
        for k in range(net.output_level - 1, -1, -1):
            if k not in needed: continue
            rows = needed[k]
            for s, sl in net.levels[k].slopes.items():
                if s == SOURCE: continue
                used = (sl.on[rows] != 0).any(axis=0)
                if sl.off is not None: used |= (sl.off[rows] != 0).any(axis=0)
                if s == group[0]: used[group[1]] = False
                needed[s] = needed.get(s, np.zeros(net.levels[s].size, bool)) | used
        # h variables only for units that feed something needed
        feeds = {}
        for k, rows in needed.items():
            for s, sl in net.levels[k].slopes.items():
                if s == SOURCE: continue
                used = (sl.on[rows] != 0).any(axis=0)
                if sl.off is not None: used |= (sl.off[rows] != 0).any(axis=0)
                feeds[s] = feeds.get(s, np.zeros(net.levels[s].size, bool)) | used
        f = self.forms = Forms(net, group, lo, hi, piece, feeds)
        col = f.width
        self.a = {}
        for key in matters:
            self.a[key] = col; col += 1
        # jump forms
        self.G = {}
        jf, je = [], []
        starts = jump._start
        self.Ubounds = {}
        # first count G columns
        const = []
        for i, (k, units) in enumerate(supports):
            const.append(state.lower[i] == state.upper[i])
        for i, (k, units) in enumerate(supports[:-1]):
            for p, u in enumerate(units):
                if (k, int(u)) in self.a and not (i == 0 or self._constant(i)[p]):
                    self.G[k, int(u)] = col; col += 1
        self.width = col
        dim = f.dim
        lower = np.zeros(col); upper = np.ones(col)
        lower[:dim], upper[:dim] = piece.lower, piece.upper
        for (k, u), j in f.h.items():
            upper[j] = hi[k][u]
        reach = np.ones(1 + col)
        rowsA, rlo, rhi = [], [], []
        self.row = {}
        def add(key, coefs, lo_, hi_):
            self.row[key] = len(rowsA)
            rowsA.append(coefs); rlo.append(lo_); rhi.append(hi_)
        # group row
        F, e = f.forms[group[0]][group[1]], f.errors[group[0]][group[1]]
        r = np.zeros(col); r[:f.width] = F[1:]
        e = e + 4*UNIT*abs(F[0])
        add(("group",) + group, r, -F[0] - e, -F[0] + e)
        for i in range(len(piece.rows)):
            r = np.zeros(col); r[:dim] = piece.rows[i]
            add(("domain", 0, i), r, -np.inf, piece.limits[i])
        for (k, u), j in f.h.items():
            F, e = f.forms[k][u], f.errors[k][u] + 4*UNIT*abs(f.forms[k][u][0])
            l, uu = lo[k][u], hi[k][u]
            r = np.zeros(col); r[:f.width] = F[1:]; r[j] -= 1.0
            add(("above", k, u), r, -np.inf, -F[0] + e)
            a = self.a.get((k, u))
            if a is None:
                s = min(max(uu / (uu - l), 0.0), 1.0)
                t = max(-s * l, uu * (1 - s)) * (1 + 8 * UNIT) + SUBNORMAL
                r = np.zeros(col); r[:f.width] = -s * F[1:]; r[j] += 1.0
                add(("below", k, u), r, -np.inf, (s * F[0] + t) + 2 * e + 8 * UNIT * (abs(F) @ np.concatenate([[1],np.maximum(abs(lower),abs(upper))[:f.width]]) + t))
            else:
                r = np.zeros(col); r[j] = 1.0; r[a] = -uu
                add(("on", k, u), r, -np.inf, 0.0)
                r = np.zeros(col); r[:f.width] = -F[1:]; r[j] += 1.0; r[a] = -l
                add(("off", k, u), r, -np.inf, F[0] - l + e + 4*UNIT*abs(l))
        for (k, u), a in self.a.items():
            if (k, u) in f.h: continue
            F, e = f.forms[k][u], f.errors[k][u] + 4*UNIT*abs(f.forms[k][u][0])
            l, uu = lo[k][u], hi[k][u]
            r = np.zeros(col); r[:f.width] = F[1:]; r[a] = -uu
            add(("on", k, u), r, -np.inf, -F[0] + e)
            r = np.zeros(col); r[:f.width] = -F[1:]; r[a] = -l
            add(("off", k, u), r, -np.inf, F[0] - l + e + 4*UNIT*abs(l))
        # jump
        U = {}
        for i, (k, units) in enumerate(supports):
            lv = net.levels[k]
            J = np.zeros((len(units), 1 + col)); err = np.zeros(len(units)); mag = np.zeros(len(units)); terms = 8
            if k in starts:
                J[:, 0] = starts[k][0][units]; mag += np.abs(J[:, 0])
            for s, sl in lv.slopes.items():
                if s not in U: continue
                cols = dict_units[s]
                Us, Ue, Ur = U[s]
                for p, c in enumerate(cols):
                    on = sl.on[units, c]; off = np.zeros(len(units)) if sl.off is None else sl.off[units, c]
                    if not on.any() and not off.any(): continue
                    key = (s, int(c)); act = acts[s][c]
                    g = np.zeros(1 + col)
                    d = on - off
                    if not net.levels[s].kink[c] or act == ON:
                        J += np.outer(on, Us[p]); err += abs(on) * Ue[p]; mag += abs(on) * Ur[p]
                    elif act == OFF:
                        J += np.outer(off, Us[p]); err += abs(off) * Ue[p]; mag += abs(off) * Ur[p]
                    elif key in self.G:
                        J += np.outer(off, Us[p]); J[:, 1 + self.G[key]] += d
                        err += abs(off) * Ue[p]; mag += (abs(on) + abs(off)) * Ur[p]
                    elif key in self.a:
                        J += np.outer(off, Us[p]); J[:, 1 + self.a[key]] += d * Us[p][0]
                        err += (abs(on) + abs(off)) * Ue[p]; mag += (abs(on) + abs(off)) * Ur[p]
                    else:
                        # does not matter to the output
                        pass
                    terms += 4
            dict_units = locals().get('dict_units', {}); dict_units[k] = units
            err = SAFETY * (err + rounding_factor(terms) * mag) + SUBNORMAL * terms * 8
            ur = np.maximum(np.abs(state.lower[i]), np.abs(state.upper[i])) if len(units) else np.zeros(0)
            U[k] = (J, err, ur)
            for p, c in enumerate(units):
                key = (k, int(c))
                if key in self.G:
                    m, M = state.lower[i][p], state.upper[i][p]
                    g, a = self.G[key], self.a[key]
                    lower[g], upper[g] = min(m, 0.0), max(M, 0.0)
                    e = err[p] + 8 * UNIT * (abs(J[p, 0]) + abs(m) + abs(M))
                    r = np.zeros(col); r[g] = 1.0; r[a] = -M; add(("mc1",) + key, r, -np.inf, 0.0)
                    r = np.zeros(col); r[g] = -1.0; r[a] = m; add(("mc2",) + key, r, -np.inf, 0.0)
                    # G <= U - m (1 - a):  G - U - m a <= -m
                    r = -J[p, 1:].copy(); r[g] += 1.0; r[a] += -m; add(("mc3",) + key, r, -np.inf, J[p, 0] - m + e)
                    # G >= U - M (1 - a):  U - G + M a <= M
                    r = J[p, 1:].copy(); r[g] -= 1.0; r[a] += M; add(("mc4",) + key, r, -np.inf, M - J[p, 0] + e)
        J, err, _ = U[supports[-1][0]]
        cost = J[0, 1:].copy(); shift = J[0, 0] - 2 * err[0]
        self.score = np.abs(cost)
        A = np.array(rowsA)
        self.program = Program(cost, shift, A, np.array(rlo), np.array(rhi), lower, upper)

    def _constant(self, i):
        return np.zeros(len(self.jump.supports[i][1]), bool)
