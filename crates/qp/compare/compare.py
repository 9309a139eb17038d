"""Solves recorded programs with solvers that Rust has no crate of, or an older release: by their own clocks, set-up and solve, Python left
out; and through qpsolvers, as called from Python. Says how often the status was right and how far answers are from quadprog's.

`compare.py FILE [SOLVER...]`, these solvers or all, quadprog always; needs qpsolvers, quadprog, daqp, proxsuite, piqp, osqp, scipy. What is not counted: scaling.
"""

import functools
import sys
import time

import daqp
import numpy as np
import osqp
import piqp
import qpsolvers
import scipy.sparse as sparse
from proxsuite import proxqp

ROUNDS = 5
# The loosest power of ten that brings answers within 1e-6 of quadprog's; for PIQP, the tightest that it solves all programs with.
NEEDED = {"daqp": 1e-9, "proxqp": 1e-9, "piqp": 1e-15, "osqp": 1e-10}
OSQP = {"max_iter": 100_000, "rho": 10.0, "adaptive_rho_interval": 50, "scaling": 0}


def settings(name, eps):
    residuals = eps and max(eps, 1e-12)
    return {
        "quadprog": {},
        "daqp": {"primal_tol": eps, "dual_tol": eps},
        "proxqp": {"eps_abs": eps, "eps_rel": 0.0, "check_duality_gap": True, "eps_duality_gap_abs": eps, "eps_duality_gap_rel": 0.0},
        "piqp": {"eps_abs": residuals, "eps_rel": residuals, "eps_duality_gap_abs": eps, "eps_duality_gap_rel": eps},
        "osqp": {"eps_abs": eps, "eps_rel": eps} | OSQP,
    }[name]


class Program:
    """`min 1/2 x'Hx + g'x, lower <= x <= upper, rows x <= limits`; `units` is what one unit of each variable is as it was recorded."""

    def __init__(self, hessian, gradient, lower, upper, rows, limits, units=1.0):
        self.hessian, self.gradient, self.rows = hessian, gradient, rows
        self.lower, self.upper, self.limits, self.units = lower, upper, limits, units

    def scaled(self):
        """The same program with a Hessian whose diagonal is one, a gradient whose largest entry is one, and rows of length one."""
        roots = np.sqrt(np.diag(self.hessian))
        size = max(1e-9, np.abs(self.gradient / roots).max())
        units = size / roots
        lengths = np.linalg.norm(self.rows * units, axis=1)
        return Program(
            self.hessian / np.outer(roots, roots),
            self.gradient / roots / size,
            self.lower / units,
            self.upper / units,
            self.rows * units / lengths[:, None],
            self.limits / lengths,
            units,
        )


def read(path):
    numbers, at = np.fromfile(path, "<f8"), 0

    def take(count):
        nonlocal at
        at += count
        return numbers[at - count : at].copy()

    while at < len(numbers):
        n, m = (int(x) for x in take(2))
        hessian = take(n * n).reshape(n, n)
        gradient, lower, upper = take(n), take(n), take(n)
        rows = take(m * n).reshape(m, n)
        yield Program(hessian, gradient, lower, upper, -rows, -take(m))


def from_python(name, p):
    rows, limits = (p.rows, p.limits) if len(p.limits) else (None, None)
    hessian = p.hessian
    if name == "osqp":
        hessian = sparse.csc_matrix(hessian)
        rows = None if rows is None else sparse.csc_matrix(rows)
    problem = qpsolvers.Problem(hessian, p.gradient, rows, limits, lb=p.lower, ub=p.upper)
    begin = time.perf_counter()
    try:
        solution = qpsolvers.solve_problem(problem, solver=name, **settings(name, NEEDED.get(name)))
        x = solution.x if solution.found else None
    except Exception:  # noqa: BLE001 - some report "infeasible" so
        x = None
    return time.perf_counter() - begin, x


def by_daqp(p, tolerance):
    most = np.concatenate([p.upper, p.limits])
    least = np.concatenate([p.lower, np.full(len(p.limits), -1e30)])
    kinds = np.zeros(len(most), dtype=np.intc)
    x, _, status, info = daqp.solve(p.hessian, p.gradient, p.rows, most, least, kinds, **settings("daqp", tolerance))
    return info["setup_time"] + info["solve_time"], x if status > 0 else None


def by_proxqp(p, tolerance):
    solver = proxqp.dense.QP(len(p.gradient), 0, len(p.limits), True)
    solver.settings.compute_timings = True
    for name, value in settings("proxqp", tolerance).items():
        setattr(solver.settings, name, value)
    solver.init(p.hessian, p.gradient, None, None, p.rows, np.full(len(p.limits), -1e20), p.limits, p.lower, p.upper)
    solver.solve()
    info = solver.results.info
    return info.run_time / 1e6, solver.results.x if info.status == proxqp.QPSolverOutput.PROXQP_SOLVED else None


def by_piqp(p, tolerance):
    solver = piqp.DenseSolver()
    solver.settings.compute_timings = True
    for name, value in settings("piqp", tolerance).items():
        setattr(solver.settings, name, value)
    solver.setup(p.hessian, p.gradient, None, None, p.rows, None, p.limits, p.lower, p.upper)
    status = solver.solve()
    return solver.result.info.run_time, solver.result.x if status == piqp.PIQP_SOLVED else None


def by_osqp(p, tolerance):
    n = len(p.gradient)
    solver = osqp.OSQP()
    rows = sparse.csc_matrix(np.vstack([np.eye(n), p.rows]))
    least = np.concatenate([p.lower, np.full(len(p.limits), -np.inf)])
    most = np.concatenate([p.upper, p.limits])
    upper = sparse.triu(p.hessian, format="csc")
    solver.setup(upper, p.gradient, rows, least, most, verbose=False, **settings("osqp", tolerance))
    solved = solver.solve(raise_error=False)
    return solved.info.run_time, solved.x if solved.info.status_val == osqp.SolverStatus.OSQP_SOLVED else None


def report(name, way, programs, reference):
    """The least time of some rounds for each program; the machine's other work is in few of them."""
    rounds = [[way(p) for p in programs] for _ in range(ROUNDS)]
    times = 1e6 * np.min([[took for took, _ in answers] for answers in rounds], axis=0)
    answers = [None if x is None else x * p.units for p, (_, x) in zip(programs, rounds[-1])]
    reference = reference or answers
    right = sum((x is None) == (y is None) for x, y in zip(answers, reference))
    both = [(x, y) for x, y in zip(answers, reference) if x is not None and y is not None]
    off = np.array([np.abs(x - y).max() / max(1e-3, np.abs(y).max()) for x, y in both])
    median, p99, p999 = np.percentile(times, [50, 99, 99.9])
    print(f"| {name} | {median:.1f} | {p99:.1f} | {p999:.1f} | {right} | {(off <= 1e-6).sum()} | {off.max(initial=0.0):.1e} |", flush=True)
    return reference


def main():
    path, *chosen = sys.argv[1:]
    ways = {"daqp": by_daqp, "proxqp": by_proxqp, "piqp": by_piqp, "osqp": by_osqp}
    ways = {name: way for name, way in ways.items() if name in chosen or not chosen}
    recorded = list(read(path))
    scaled = [p.scaled() for p in recorded]
    print(f"{len(recorded)} programs, microseconds\n")
    print("| solver | median | p99 | p99.9 | right status | within 1e-6 | farthest off (relative) |\n|---|---|---|---|---|---|---|")
    reference = report("quadprog, from Python", functools.partial(from_python, "quadprog"), recorded, None)
    for name, way in ways.items():
        for tolerance in sorted({1e-9, NEEDED[name]}, reverse=True):
            report(f"{name}, {tolerance:.0e}", functools.partial(way, tolerance=tolerance), scaled, reference)
    for name in ways:
        report(f"{name}, from Python", functools.partial(from_python, name), scaled, reference)


if __name__ == "__main__":
    main()
