"""The CAN bus of a made scene has the form of nuScenes', and tells how the ego moved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import reference

from drivevlm_sim.can_bus import (
    META_NAMES,
    RATES_HZ,
    DrivenTrack,
    _statistics,
    can_messages,
    write_can_bus,
)
from drivevlm_sim.scene_log import Lamps

FIRST_US = 1_700_000_000_000_000
REAL = "scene-0103"


def driving(seed: int = 3, steps: int = 121) -> DrivenTrack:
    """East at 8 m/s for 6 s, then braking at 1 m/s2 with the left indicator on."""
    since_s = np.arange(steps) * 0.1
    braking = since_s > 6.0
    acceleration = np.where(braking, -1.0, 0.0)
    speed = 8.0 - np.maximum(since_s - 6.0, 0.0)
    x_m = 8.0 * since_s - np.maximum(since_s - 6.0, 0.0) ** 2 / 2
    return DrivenTrack(
        stamps_us=FIRST_US + np.arange(steps, dtype=np.int64) * 100_000,
        xy_global_m=np.stack([100.0 + x_m, np.full(steps, 50.0)], axis=1),
        yaw_global_rad=np.zeros(steps),
        speed_mps=speed,
        acceleration_mps2=acceleration,
        lamps=np.where(braking, Lamps.LEFT | Lamps.BRAKE, 0).astype(np.uint8),
        route_global_m=np.stack([np.arange(95.0, 300.0, 0.2), np.full(1025, 50.0)], axis=1),
        seed=seed,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("can")
    write_can_bus(folder, "scene-2001", driving())
    return folder


def test_every_message_has_the_keys_and_types_of_a_real_one(root):
    for kind in RATES_HZ:
        path = reference("nuscenes_mini_real") / "can_bus" / f"{REAL}_{kind}.json"
        real = json.loads(path.read_text())[0]
        mine = json.loads((root / "can_bus" / f"scene-2001_{kind}.json").read_text())[0]
        assert list(mine) == list(real), kind
        assert {k: type(v) for k, v in mine.items()} == {k: type(v) for k, v in real.items()}, kind


def test_meta_is_computed_as_the_real_meta_was():
    folder = reference("nuscenes_mini_real") / "can_bus"
    meta = json.loads((folder / f"{REAL}_meta.json").read_text())
    assert list(meta) == list(META_NAMES.values())
    for kind, name in META_NAMES.items():
        rows = json.loads((folder / f"{REAL}_{kind}.json").read_text())
        mine = _statistics(rows)
        assert mine["message_count"] == meta[name]["message_count"]
        for variable, spread in meta[name]["var_stats"].items():
            assert mine["var_stats"][variable] == pytest.approx(spread, rel=1e-9, abs=1e-9)


def test_the_unmodified_devkit_reads_every_kind(root):
    api = pytest.importorskip("nuscenes.can_bus.can_bus_api").NuScenesCanBus(dataroot=str(root))
    for kind in api.all_messages:
        assert api.get_messages("scene-2001", kind)
    assert api.list_misaligned_routes() == []
    assert set(api.get_messages("scene-2001", "meta")) == {v.lower() for v in META_NAMES.values()}


def test_messages_come_at_their_rates_and_never_beyond_the_track():
    track = driving()
    for kind, rows in can_messages(track).items():
        stamps = np.array([row["utime"] for row in rows])
        assert (np.diff(stamps) == 1_000_000 // RATES_HZ[kind]).all()
        assert stamps[0] == track.stamps_us[0]
        assert stamps[-1] == track.stamps_us[-1]


def test_noise_has_the_size_that_is_promised():
    pose = can_messages(driving())["pose"]
    steady = [row for row in pose if row["utime"] <= FIRST_US + 6_000_000]
    speed = np.array([row["vel"][0] for row in steady])
    along = np.array([row["accel"][0] for row in steady])
    yaw_rate = np.array([row["rotation_rate"][2] for row in steady])
    y_m = np.array([row["pos"][1] for row in steady])
    for values, mean, sigma in (
        (speed, 8.0, 0.03),
        (along, 0.0, 0.1),
        (yaw_rate, 0.0, 0.005),
        (y_m, 50.0, 0.02),
    ):
        assert values.mean() == pytest.approx(mean, abs=4 * sigma / np.sqrt(len(values)))
        assert values.std() == pytest.approx(sigma, rel=0.2)


def test_tracks_that_begin_alike_are_sensed_alike_until_they_part():
    """Twins share their noise: what they were told up to the fork is the same to the byte."""
    whole = driving()
    faster = np.where(np.arange(121) > 60, 9.0, whole.speed_mps)
    twin = replace(whole, speed_mps=faster)
    before = FIRST_US + 6_000_000
    for kind, rows in can_messages(whole).items():
        theirs = can_messages(twin)[kind]
        assert [r for r in rows if r["utime"] <= before] == [
            r for r in theirs if r["utime"] <= before
        ]
    assert can_messages(whole)["pose"] != can_messages(twin)["pose"]


def test_a_message_knows_nothing_of_what_comes_after_its_step():
    whole = driving()
    longer = can_messages(whole)["pose"]
    shorter = can_messages(driving(steps=61))["pose"]
    assert longer[: len(shorter)] == shorter


def test_braking_and_indicators_show():
    rows = can_messages(driving())["vehicle_monitor"]
    assert [row["left_signal"] for row in rows] == [0] * 13 + [1] * 12
    assert rows[5]["vehicle_speed"] == pytest.approx(28.8, abs=0.5)
    real_rpm = 8.0 / 0.302 * 60 / (2 * np.pi)
    assert rows[5]["rear_left_rpm"] == pytest.approx(real_rpm, rel=0.02)


def test_columns_of_another_length_are_refused():
    with pytest.raises(ValueError, match="columns of one length"):
        replace(driving(), speed_mps=np.zeros(3))
