"""Solves recorded programs through qpsolvers with quadprog, DAQP, ProxQP and OSQP: time per solve as called from Python, how often
the status was right, how far answers are from quadprog's; and DAQP by the time that it measures itself. `compare.py FILE [COUNT]`; needs qpsolvers, quadprog, daqp, proxsuite, osqp, scipy.
"""

import functools
import sys
import time

import daqp
import numpy as np
import qpsolvers
import scipy.sparse as sparse

TOLERANCES = {
    "quadprog": {},
    "daqp": {"primal_tol": 1e-9, "dual_tol": 1e-12},
    "proxqp": {"eps_abs": 1e-9, "eps_rel": 0.0},
    "osqp": {"eps_abs": 1e-9, "eps_rel": 1e-9, "eps_prim_inf": 1e-9, "max_iter": 20000},
}


def read(path):
    numbers, programs, at = np.fromfile(path, "<f8"), [], 0

    def take(count):
        nonlocal at
        at += count
        return numbers[at - count : at].copy()

    while at < len(numbers):
        n, m = (int(x) for x in take(2))
        hessian = take(n * n).reshape(n, n)
        gradient, lower, upper = take(n), take(n), take(n)
        rows = take(m * n).reshape(m, n)
        programs.append((hessian, gradient, -rows, -take(m), lower, upper))
    return programs


def solve(name, program):
    hessian, gradient, rows, limits, lower, upper = program
    if len(limits) == 0:
        rows, limits = None, None
    if name == "osqp":
        hessian = sparse.csc_matrix(hessian)
        rows = None if rows is None else sparse.csc_matrix(rows)
    problem = qpsolvers.Problem(hessian, gradient, rows, limits, lb=lower, ub=upper)
    begin = time.perf_counter()
    try:
        solution = qpsolvers.solve_problem(problem, solver=name, **TOLERANCES[name])
        x = solution.x if solution.found else None
    except Exception:  # noqa: BLE001 - some report "infeasible" so
        x = None
    return 1e6 * (time.perf_counter() - begin), x


def natively(program):
    """DAQP without Python around it: the time that the library itself measured for set-up and solve, and its answer."""
    hessian, gradient, rows, limits, lower, upper = program
    most = np.concatenate([upper, limits])
    least = np.concatenate([lower, np.full(len(limits), -1e30)])
    kinds = np.zeros(len(most), dtype=np.intc)
    x, _, status, info = daqp.solve(hessian, gradient, rows, most, least, kinds, **TOLERANCES["daqp"])
    return 1e6 * (info["setup_time"] + info["solve_time"]), x if status > 0 else None


def main():
    programs = read(sys.argv[1])[: int(sys.argv[2]) if len(sys.argv) > 2 else None]
    print(f"{len(programs)} programs, called from Python; microseconds\n")
    print("| solver | median | p99 | p99.9 | right status | farthest off (relative) |\n|---|---|---|---|---|---|")
    reference = None
    ways = {name: functools.partial(solve, name) for name in TOLERANCES if name in qpsolvers.available_solvers}
    for name, way in (ways | {"daqp, by its own clock": natively}).items():
        for program in programs[:50]:
            way(program)
        times, answers = zip(*(way(p) for p in programs))
        reference = reference or answers
        right = sum((x is None) == (y is None) for x, y in zip(answers, reference))
        off = max(
            (np.abs(x - y).max() / max(1e-3, np.abs(y).max()) for x, y in zip(answers, reference) if x is not None and y is not None),
            default=0.0,
        )
        median, p99, p999 = np.percentile(times, [50, 99, 99.9])
        print(f"| {name} | {median:.1f} | {p99:.1f} | {p999:.1f} | {right} of {len(programs)} | {off:.1e} |", flush=True)


if __name__ == "__main__":
    main()
