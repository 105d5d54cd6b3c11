"""Twin pairs in the nuScenes schema, with pictures: side a drives on, side b loses half its speed.

Side b came a little slower and its cameras fired a little later, so that whatever is not copied
from side a shows.
"""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from tiny_tables import ego_pose, write_tables

VERSION = "v1.0-twins"
NOW = 4
"""Keyframe of decision time; the two before it have pictures too, later ones have none."""
FAMILIES = ("jaywalker", "stopped_vehicle")
TOWNS = ("oak", "elm", "ash")
START_US, SCENE_US = 1_600_000_000_000_000, 100_000_000
LATER_US = 300


def write_twins(root: Path, *, pairs: int = 2) -> Path:
    """Tables, pictures and ``twins.jsonl`` under ``root``, which is given back."""
    names = [f"scene-{2000 + k}" for k in range(2 * pairs)]
    write_tables(root, version=VERSION, names=names, samples=11, sweeps=False)
    for scene in range(1, 2 * pairs, 2):
        _make_side_b(root, scene)
    _draw(root)
    lines = [pair_line(k, names[2 * k], names[2 * k + 1]) for k in range(pairs)]
    write_lines(root, lines)
    return root


def pair_line(k: int, a: str, b: str) -> dict[str, object]:
    return {
        "pair": f"pair-{k}",
        "family": FAMILIES[k % len(FAMILIES)],
        "town": TOWNS[k % len(TOWNS)],
        "samples": [f"{a}-{NOW:02d}", f"{b}-{NOW:02d}"],
        "t0_us": START_US + 2 * k * SCENE_US + NOW * 500_000,
        "cause": {
            "kind": "pedestrian",
            "instance": f"{b}-object-1",
            "camera": "CAM_FRONT",
            "pixels": 20 + 40 * k,
            "distance_m": 10.0 + 10.0 * k,
        },
        "gap_3s_m": 11.9,
    }


def write_lines(root: Path, lines: list[dict[str, object]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / VERSION / "twins.jsonl").write_text(text)


def _make_side_b(root: Path, scene: int) -> None:
    start_us = START_US + scene * SCENE_US
    now_us, end_us = start_us + NOW * 500_000, start_us + SCENE_US // 2
    poses = json.loads((root / VERSION / "ego_pose.json").read_text())
    for pose in poses:
        if start_us - SCENE_US // 2 < pose["timestamp"] < end_us:
            passed_us = pose["timestamp"] - now_us
            share = 0.5 if passed_us > 0 else 0.99
            there = ego_pose(now_us + int(share * passed_us), start_us, scene)
            pose["translation"], pose["rotation"] = there
    (root / VERSION / "ego_pose.json").write_text(json.dumps(poses))
    shots = json.loads((root / VERSION / "sample_data.json").read_text())
    for shot in shots:
        of_b = start_us - SCENE_US // 2 < shot["timestamp"] < end_us
        if of_b and shot["fileformat"] == "jpg":
            shot["timestamp"] += LATER_US
    (root / VERSION / "sample_data.json").write_text(json.dumps(shots))


def _draw(root: Path) -> None:
    """A picture for every shot up to decision time, each of a colour of its own."""
    path = root / VERSION / "sample_data.json"
    shots, kept = json.loads(path.read_text()), []
    for number, shot in enumerate(shots):
        keyframe = int(shot["sample_token"].rpartition("-")[2])
        if shot["fileformat"] == "jpg":
            if not NOW - 2 <= keyframe <= NOW:
                continue
            colour = (number % 256, number * 7 % 256, number * 31 % 256)
            file = root / shot["filename"]
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (shot["width"], shot["height"]), colour).save(file)
        kept.append(shot)
    path.write_text(json.dumps(kept))
