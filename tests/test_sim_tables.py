"""Benchmark tables have the size that was asked for and load like real ones."""

from __future__ import annotations

import pytest

from drivevlm_sim.tables import TablesConfig, make_tables

nuscenes = pytest.importorskip("nuscenes.nuscenes")


def test_samples_are_spread_over_scenes_and_add_up(tmp_path):
    config = TablesConfig(scenes=5, samples=17, boxes=6)
    root = make_tables(tmp_path / "tables", config=config)
    devkit = nuscenes.NuScenes(version="v1.0-tables", dataroot=str(root), verbose=False)
    assert [scene["nbr_samples"] for scene in devkit.scene] == [4, 4, 3, 3, 3]
    assert len(devkit.sample) == 17
    assert len(devkit.sample_data) == 17 * 7
    assert len(devkit.sample_annotation) == 17 * 6
    assert not (root / "samples").exists()


def test_the_default_has_the_size_of_the_validation_split():
    config = TablesConfig()
    assert 19 * 41 + 131 * 40 == config.samples == 6019
    assert config.scenes == 150
    assert config.samples % config.scenes == 19
