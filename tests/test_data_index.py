"""The index: built once, whole or not at all, and quick to open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_tables import write_tables

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.index import Strings
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.recording import DataError

OPEN = """
import sys
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
recording = NuScenesRecording(NuScenesConfig(sys.argv[1], cache=sys.argv[2]))
scene = recording.scenes()[0]
print(len(scene.tokens), len(recording.truth(scene.tokens[0]).steps))
print("nuscenes" in sys.modules, "torch" in sys.modules)
"""


def test_strings_come_back_as_they_went() -> None:
    words = ["", "scene-0061", "Übergang\n, 停", "x"]
    packed = Strings.pack(words)
    assert packed.span() == tuple(words)
    assert packed.span(1, 3) == tuple(words[1:3])
    assert packed.span(2, 2) == ()
    assert [packed[i] for i in range(len(packed))] == words
    assert Strings.pack([]).span() == ()


def test_a_second_start_reads_no_table_and_wakes_no_devkit(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data")
    told: list[tuple[str, int, int]] = []
    config = NuScenesConfig(str(root), cache=str(tmp_path / "cache"))
    NuScenesRecording(config, lambda *step: told.append(step))
    assert [done for _, done, _ in told] == list(range(16))
    assert told[-1][1] == told[-1][2]
    for table in (root / "v1.0-mini").iterdir():
        stat = table.stat()
        table.write_bytes(b"?" * stat.st_size)  # same size, same time, no longer JSON
        os.utime(table, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    argv = [sys.executable, "-c", OPEN, str(root), config.cache]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert out.split() == ["9", "7", "False", "False"]


def test_a_changed_table_is_read_again(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data")
    config = NuScenesConfig(str(root), cache=str(tmp_path / "cache"))
    before = NuScenesRecording(config).digest
    path = root / "v1.0-mini" / "scene.json"
    scenes = json.loads(path.read_text())
    path.write_text(json.dumps([{**scene, "description": "changed"} for scene in scenes]))
    after = NuScenesRecording(config)
    assert after.truth("scene-2001-00").description == "changed"
    assert after.digest != before


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_damaged_index_is_built_again(tmp_path: Path, damage: str) -> None:
    config = NuScenesConfig(str(write_tables(tmp_path / "data")), cache=str(tmp_path / "cache"))
    digest = NuScenesRecording(config).digest
    (array,) = (tmp_path / "cache").rglob("box_center_m.npy")
    if damage == "gone":
        array.unlink()
    else:
        array.write_bytes(array.read_bytes()[:-8])
    again = NuScenesRecording(config)
    assert again.digest == digest
    assert len(again.truth("scene-2002-08").now.boxes) == 3
    assert [path.suffix for path in (tmp_path / "cache" / "nuscenes").iterdir()] in (
        ["", ".lock"],
        [".lock", ""],
    )


@pytest.mark.part
def test_builders_at_once_do_not_harm_each_other(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data")
    argv = [sys.executable, "-c", OPEN, str(root), str(tmp_path / "cache")]
    runs = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = [run.communicate()[0].split() for run in runs]
    assert all(words[:2] == ["9", "7"] for words in found)
    # The others waited and read what the first had built.
    assert sorted(words[2] for words in found) == ["False", "False", "True"]


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    config = NuScenesConfig(str(write_tables(tmp_path / "data")), cache=str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"choose another folder with data\.cache"):
        NuScenesRecording(config)


def test_tables_without_sensors_or_labels_are_an_index_too(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data", objects=0, sweeps=False, cameras=())
    recording = NuScenesRecording(NuScenesConfig(str(root), cache=str(tmp_path / "cache")))
    assert recording.clip("scene-2001-03").cameras == ()
    assert recording.truth("scene-2001-03").future_valid.sum() == 5
    bare = write_tables(tmp_path / "bare", lidar=False, cameras=())
    with pytest.raises(DataError, match="needs a lidar or an image"):
        NuScenesRecording(replace(recording._config, root=str(bare)))
