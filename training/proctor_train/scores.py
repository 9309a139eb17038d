"""Joins the reports of `proctor eval segmentation --json` into the scores that export.py writes into model.toml."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--purpose", default="unseen_seeds")
    ap.add_argument("--what", required=True, help="what was measured, in words")
    ap.add_argument("--classes", type=Path, required=True, help="report made with maps/classes.toml")
    ap.add_argument("--instrument", type=Path, required=True, help="report made with maps/instrument.toml")
    ap.add_argument("--into", type=Path, required=True, help="JSON file to write; other purposes in it are kept")
    a = ap.parse_args()
    ten, binary = json.loads(a.classes.read_text()), json.loads(a.instrument.read_text())
    if ten["model"] != binary["model"]:
        raise SystemExit(f"the reports are of different models: {ten['model']} and {binary['model']}")
    scores = json.loads(a.into.read_text()) if a.into.exists() else {}
    scores[a.purpose] = {
        "what": a.what,
        "images": len(ten["images"]),
        "mean_iou": ten["mean_iou"],
        "classes": {"instrument": binary["classes"]["instrument"], **ten["classes"]},
    }
    a.into.write_text(json.dumps(scores, indent=1) + "\n")
    print(f"{a.purpose}: mean IoU {ten['mean_iou']:.4f}, instrument IoU {binary['classes']['instrument']['iou']:.4f}")


if __name__ == "__main__":
    main()
