#!/usr/bin/env python3
"""Golden poses for the kinematics tests, independent of the URDFs and of the Rust code.

Multiplies the modified-DH matrices of the dVRK's published tables (sawIntuitiveResearchKit, share/kinematic/PSM.json and ECM.json,
share/tool/*.json), with right angles exact instead of the tables' 1.5708. The arm of its own form is multiplied out as a product of
exponentials about axes fixed in space, from its lengths. Writes one CSV per arm or instrument next to itself:
q1.. in rad and m, then x, y, z in m and the nine entries of the rotation matrix, row by row.

usage: golden.py          write the files
       golden.py --check  compare only; exit 1 if one differs by more than 1e-12
Needs numpy; without it, comparing says that it was skipped and succeeds.
"""
import csv
import sys
from math import cos, pi, sin
from pathlib import Path

try:
    import numpy as np
except ImportError:
    print("urdf/golden/golden.py: skipped, the Python package `numpy` is not installed")
    sys.exit(0 if "--check" in sys.argv else 1)

HERE = Path(__file__).resolve().parent
ROWS = 200
R = pi / 2

# (alpha, A, theta offset, D, prismatic, smallest, largest) per joint.
CARRIAGE = {
    "psm": [(R, 0, R, 0, False, -1.588, 1.588), (-R, 0, -R, 0, False, -0.925025, 0.925025), (R, 0, 0, -0.4318, True, 0.0, 0.24)],
    "ecm": [(R, 0, R, 0, False, -1.5708, 1.5708), (-R, 0, -R, 0, False, -0.76794, 1.1344), (R, 0, 0, -0.3822, True, 0.0, 0.255)],
}
SCOPE = [(0, 0, 0, 0.3829, False, -1.552, 1.552)]
# name: (D of roll, A of wrist yaw, limit of wrist yaw)
TOOLS = {
    "LARGE_NEEDLE_DRIVER_400006": (0.4162, 0.0091, 1.39626),
    "LARGE_NEEDLE_DRIVER_420006": (0.4670, 0.0091, 1.39626),
    "PROGRASP_FORCEPS_400093": (0.4162, 0.0107, 1.39626),
    "PERMANENT_CAUTERY_HOOK_400183": (0.4162, 0.0093, 1.4835),
}
TOOLTIP = np.array([[0, -1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])


def tool_rows(d, a, yaw):
    return [(0, 0, 0, d, False, -4.53786, 4.53786), (-R, 0, -R, 0, False, -1.39626, 1.39626), (-R, a, -R, 0, False, -yaw, yaw)]


def modified_dh(alpha, a, theta, d):
    """Craig's convention: Rx(alpha) Tx(a) Rz(theta) Tz(d)."""
    ca, sa, ct, st = cos(alpha), sin(alpha), cos(theta), sin(theta)
    return np.array([[ct, -st, 0, a], [st * ca, ct * ca, -sa, -d * sa], [st * sa, ct * sa, ca, d * ca], [0, 0, 0, 1]])


def pose(rows, end, q):
    t = np.eye(4)
    for (alpha, a, theta, d, prismatic, _, _), value in zip(rows, q, strict=True):
        t = t @ modified_dh(alpha, a, theta + (0 if prismatic else value), d + (value if prismatic else 0))
    return t @ end


# The Lean7 upright: height of each joint's axis above the foot, m, its direction, and its range; where the foot stands from the trocar.
LEAN7 = [
    (0.16, (0, 0, 1), 3.05), (0.30, (0, 1, 0), 2.1), (0.47, (0, 0, 1), 3.05), (0.62, (0, 1, 0), 2.3),
    (0.78, (0, 0, 1), 3.05), (0.92, (0, 1, 0), 2.2), (1.00, (0, 0, 1), 3.05),
]
LEAN7_TIP, LEAN7_FOOT = 1.45, (-0.34, 0.0, -0.12)


def lean7(q):
    """Turns about axes in space, the last joint's first, applied to the upright tip (Rodrigues' formula)."""
    t = np.eye(4)
    for (height, axis, _), value in zip(LEAN7, q, strict=True):
        x, y, z = axis
        k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0.0]])
        turn, through = np.eye(3) + sin(value) * k + (1 - cos(value)) * k @ k, np.array([0, 0, height])
        step = np.eye(4)
        step[:3, :3], step[:3, 3] = turn, through - turn @ through
        t = t @ step
    upright, foot = np.eye(4), np.eye(4)
    upright[2, 3], foot[:3, 3] = LEAN7_TIP, LEAN7_FOOT
    return foot @ t @ upright


def table(lower, upper, pose_at, seed):
    """Zero, each joint alone at both ends, then random joints over the whole range."""
    rng = np.random.default_rng(seed)
    n = len(lower)
    joints = [np.zeros(n)]
    for i in range(n):
        for value in (lower[i], upper[i]):
            joints.append(np.where(np.arange(n) == i, value, 0.0))
    while len(joints) < ROWS:
        joints.append(lower + (upper - lower) * rng.random(n))
    names = [f"q{i + 1}" for i in range(n)] + ["x", "y", "z"] + [f"r{i}{j}" for i in range(3) for j in range(3)]
    for q in joints:
        t = pose_at(q)
        yield dict(zip(names, [*q, *t[:3, 3], *t[:3, :3].ravel()], strict=True))


def main() -> int:
    jobs = {f"psm_{n}": (CARRIAGE["psm"] + tool_rows(*p), TOOLTIP) for n, p in TOOLS.items()}
    jobs["ecm"] = (CARRIAGE["ecm"] + SCOPE, np.eye(4))
    dvrk = [(n, [r[5] for r in rows], [r[6] for r in rows], lambda q, rows=rows, end=end: pose(rows, end, q))
            for n, (rows, end) in jobs.items()]
    ranges = [r for *_, r in LEAN7]
    jobs = [*dvrk, ("arm_LEAN7_PROBE", [-r for r in ranges], ranges, lean7)]
    for seed, (name, lower, upper, pose_at) in enumerate(jobs):
        path, wanted = HERE / f"{name}.csv", list(table(np.array(lower), np.array(upper), pose_at, seed))
        if sys.argv[1:] == ["--check"]:
            found = list(csv.DictReader(path.open()))
            same = len(found) == len(wanted) and all(
                f.keys() == w.keys() and all(abs(float(f[k]) - w[k]) < 1e-12 for k in w) for f, w in zip(found, wanted)
            )
            if not same:
                print(f"{path.name} differs; run urdf/golden/golden.py and commit")
                return 1
            continue
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, wanted[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: f"{v:.15g}" for k, v in row.items()} for row in wanted)
    print(f"urdf/golden: {len(jobs)} tables of {ROWS} poses")
    return 0


if __name__ == "__main__":
    sys.exit(main())
