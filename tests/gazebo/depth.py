"""Gazebo's depth pictures against the depths that OpenCV's stereo matcher finds in the stereo pictures of the same moments.

Usage: depth.py FOLDER, as `proctor gazebo capture` writes it. An assertion if they do not agree; one JSON object on the last line.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

STEP = 1e-5  # m of a depth picture's unit
FX, BASELINE = 560.0, 0.0052  # of the cell's endoscope: px, m
MOST = 64  # px of disparity: 4.5 cm
UNTIL = 0.25  # m; beyond, a pixel of disparity is centimetres


def difference(folder, name):
    """Relative differences, where both know, and the part of the picture that has a depth."""
    left, right = (cv2.imread(str(folder / side / name), cv2.IMREAD_GRAYSCALE) for side in ("images", "right"))
    depth = cv2.imread(str(folder / "depth" / name), cv2.IMREAD_UNCHANGED) * STEP
    found = cv2.StereoSGBM_create(0, MOST, 7, 8 * 49, 32 * 49, 1, uniquenessRatio=15, speckleWindowSize=100, speckleRange=1).compute(left, right) / 16
    known = (found > 1) & (depth > 0) & (depth < UNTIL)
    known[:, :MOST] = False
    assert known.mean() > 0.2, f"{name}: both know of {known.mean():.0%} of the picture"
    return FX * BASELINE / found[known] / depth[known] - 1, (depth > 0).mean()


def main(folder):
    names = sorted(p.name for p in (folder / "depth").iterdir())
    each = [difference(folder, name) for name in names]
    differences = np.concatenate([d for d, _ in each])
    said = {
        "pictures": len(names),
        "has_depth": round(min(part for _, part in each), 3),
        "stereo_against_depth_median": round(float(np.median(differences)), 4),
        "median_absolute": round(float(np.median(np.abs(differences))), 4),
    }
    assert said["has_depth"] > 0.9 and abs(said["stereo_against_depth_median"]) < 0.02 and said["median_absolute"] < 0.05, said
    print(json.dumps(said))


main(Path(sys.argv[1]))
