"""Packing: whole shards only, resumed after a kill, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from flat_world import flat_root, flat_words
from same_recording import tokens_of
from small_world import SmallRecording
from twin_world import write_twins

from drivevlm.app import composed, main
from drivevlm.app.commands import VERBS
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.packed import PackedConfig, PackedRecording
from drivevlm.evaluate.pack import PackError, PackOrder, pack

pq = pytest.importorskip("pyarrow.parquet", reason="packing needs pyarrow (the extra [train])")

SMALLEST = 1
"""A shard of this size holds one scene."""
HERE = Path(__file__).parent


def flat() -> NuScenesRecording:
    return NuScenesRecording(NuScenesConfig(str(flat_root()), version="v1.0-flat"))


def bytes_below(folder: Path) -> dict[str, str]:
    """Digest of every file but for the lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def run(words, capsys) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("kind", ["scenes", "twins"])
def test_packed_data_give_the_figures_of_their_source(kind, tmp_path, capsys, monkeypatch):
    words = flat_words()
    if kind == "twins":
        root = write_twins(tmp_path / "twins")
        words = ["data=nuscenes", f"data.root={root}", "data.version=v1.0-twins"]
    code, out, err = run(["pack", *words, f"out={tmp_path}/packed"], capsys)
    assert (code, err) == (0, "")
    assert out.rstrip().splitlines()[-1] == f"{tmp_path}/packed"
    found = {}
    data = {"loose": words, "packed": ["data=packed", f"data.path={tmp_path}/packed"]}
    for name, words in data.items():
        # Nothing prepared for one may serve the other.
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache-{name}"))
        asked = ["planner=[constant_velocity,expert]", "page.clips=0", f"out={tmp_path}/{name}"]
        code, _, err = run(["eval", *words, *asked], capsys)
        assert (code, err) == (0, "")
        found[name] = json.loads((tmp_path / name / "results.json").read_text())
        for planner in found[name]["planners"].values():
            planner["ms"] = None
    assert found["packed"]["planners"] == found["loose"]["planners"]
    assert found["packed"]["data"] == found["loose"]["data"]


def test_a_baseline_that_learns_is_left_out_of_packed_data_with_a_reason(tmp_path, capsys):
    pack(PackOrder(flat(), SMALLEST), tmp_path / "a")
    words = ["planner=[stop,ego_mlp]", "page.clips=0", f"out={tmp_path}/run"]
    code, out, _ = run(["eval", "data=packed", f"data.path={tmp_path}/a", *words], capsys)
    assert code == 0
    assert "ego_mlp is left out: it learns from tables" in out.replace("\n", " ")


def test_the_verbs_examples_work_on_generated_scenes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for example in VERBS["pack"].examples:
        words = example.split()[1:]
        if "/data/" in example:
            composed(words[1:])
            continue
        more = ["data=flat", "data.world.keyframes=2"] if words[0] == "pack" else ["page.clips=0"]
        assert run([*words, *more], capsys)[0] == 0
    assert (tmp_path / "packed" / "demo" / "manifest.json").exists()


def test_shards_hold_whole_scenes_and_are_the_same_bytes_each_time(tmp_path):
    for name in ("a", "b"):
        manifest = pack(PackOrder(flat(), SMALLEST), tmp_path / name)
        assert len(manifest["shards"]) == 2
    assert bytes_below(tmp_path / "a") == bytes_below(tmp_path / "b")
    for shard in manifest["shards"]:
        for name, file in shard["files"].items():
            there = (tmp_path / "a" / shard["folder"] / name).read_bytes()
            assert len(there) == file["bytes"]
            assert hashlib.sha256(there).hexdigest() == file["sha256"]


def test_a_finished_folder_is_left_alone(tmp_path):
    pack(PackOrder(flat(), SMALLEST), tmp_path / "a")
    before = bytes_below(tmp_path / "a")
    counted = []
    pack(PackOrder(flat(), SMALLEST), tmp_path / "a", lambda *what: counted.append(what))
    assert bytes_below(tmp_path / "a") == before
    assert not counted


def test_a_jpeg_is_kept_as_it_was_recorded(tmp_path):
    pack(PackOrder(flat(), 10**9), tmp_path / "a")
    table = pq.read_table(tmp_path / "a" / "shard-00000" / "images.parquet")
    for file, encoded in zip(table["file"].to_pylist(), table["encoded"].to_pylist(), strict=True):
        (source,) = (flat_root() / "samples").glob(f"*/{file}")
        assert source.read_bytes() == encoded


def test_every_column_says_what_it_means(tmp_path):
    manifest = pack(PackOrder(flat(), 10**9), tmp_path / "a")
    for table, columns in manifest["columns"].items():
        schema = pq.read_schema(tmp_path / "a" / "shard-00000" / f"{table}.parquet")
        assert list(columns) == schema.names
        for name, words in columns.items():
            assert words.endswith(".")
            assert schema.field(name).metadata[b"doc"].decode() == words


def test_the_future_lies_beside_the_clip(tmp_path):
    # Scene s1 drives straight at 8 m/s; its ninth keyframe of ten has one more.
    pack(PackOrder(SmallRecording(), 10**9), tmp_path / "a")
    table = pq.read_table(tmp_path / "a" / "shard-00000" / "clips.parquet").to_pylist()
    rows = {row["token"]: np.array(row["future_xy_ego_m"]).reshape(-1, 2) for row in table}
    np.testing.assert_allclose(rows["s1-2"], [[4.0 * k, 0.0] for k in range(1, 7)])
    np.testing.assert_array_equal(np.isnan(rows["s1-8"][:, 0]), [False, *[True] * 5])


def test_small_row_groups_keep_a_look_at_one_clip_small(tmp_path):
    pack(PackOrder(flat(), 10**9), tmp_path / "a")
    about = pq.ParquetFile(tmp_path / "a" / "shard-00000" / "images.parquet").metadata
    images_of_a_clip = 6
    groups = [about.row_group(k) for k in range(about.num_row_groups)]
    assert all(group.num_rows % images_of_a_clip == 0 for group in groups)
    assert sum(group.num_rows for group in groups) == 2 * 9 * images_of_a_clip
    assert len(groups) > 1


COMMAND = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
from test_pack import PackOrder, flat, pack
def slowly(what, done, total):
    time.sleep({delay})
pack(PackOrder(flat(), {size}), Path(sys.argv[1]), slowly)
"""


def start(out: Path, *, delay: float = 0.0, size: int = 1) -> subprocess.Popen[bytes]:
    code = COMMAND.format(here=str(HERE), delay=delay, size=size)
    return subprocess.Popen([sys.executable, "-c", code, str(out)], stderr=subprocess.PIPE)


def test_killed_at_any_moment_a_pack_goes_on_to_the_same_bytes(tmp_path):
    pack(PackOrder(flat(), 1), tmp_path / "whole")
    rng = random.Random(0)
    for _ in range(3):
        process = start(tmp_path / "broken", delay=0.05)
        while not (tmp_path / "broken" / "pack.json").exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.1, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        shards = sorted((tmp_path / "broken").glob("shard-*"))
        for shard in shards:
            assert bytes_below(shard) == bytes_below(tmp_path / "whole" / shard.name)
    assert not (tmp_path / "broken" / "manifest.json").exists()
    process = start(tmp_path / "broken")
    process.communicate()
    assert process.returncode == 0
    assert bytes_below(tmp_path / "broken") == bytes_below(tmp_path / "whole")


def test_a_full_disk_leaves_no_broken_shard_and_the_pack_goes_on(tmp_path):
    recording, limit = flat(), resource.getrlimit(resource.RLIMIT_FSIZE)
    # The first scene's images fit into a file of this size, those of both do not.
    first = recording.scenes()[0]
    size = sum(
        len(sequence.frames[-1].encoded)
        for token in first.tokens
        for sequence in recording.clip(token).cameras
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size * 0.5), limit[1]))
    try:
        with pytest.raises(PackError, match="0 whole shards are there; make room"):
            pack(PackOrder(recording, 1), tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [".lock", "pack.json"]
    pack(PackOrder(recording, 1), tmp_path / "a")
    assert tokens_of(PackedRecording(PackedConfig(str(tmp_path / "a")))) == tokens_of(recording)


def test_a_folder_of_other_data_is_refused(tmp_path):
    pack(PackOrder(flat(), 1), tmp_path / "a")
    other = NuScenesRecording(NuScenesConfig(str(flat_root()), version="v1.0-flat", frames=2))
    with pytest.raises(PackError, match=r"holds other packed data \(recording.digest was"):
        pack(PackOrder(other, 1), tmp_path / "a")
    with pytest.raises(PackError, match="shard_bytes was 1, is 2"):
        pack(PackOrder(flat(), 2), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "holiday.jpg").touch()
    with pytest.raises(PackError, match=r"holds something else, e.g. holiday.jpg"):
        pack(PackOrder(flat(), 1), tmp_path / "b")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected a folder to pack into"),
        (["out=x", "shard_mb=small"], "shard_mb takes a whole number"),
        ([f"out={__file__}"], "cannot be written"),
    ],
)
def test_bad_input_ends_in_one_clear_line(words, said, capsys):
    code, _, err = run(["pack", *flat_words(), *words], capsys)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_without_pyarrow_both_ways_end_in_one_line_with_the_command(tmp_path):
    pack(PackOrder(flat(), 10**9), tmp_path / "a")
    # As where it is not installed: Python finds nothing by that name.
    blind = "import sys; sys.modules['pyarrow'] = None; from drivevlm.app import main; "
    for words in (
        ["pack", *flat_words(), f"out={tmp_path}/b"],
        ["eval", "data=packed", f"data.path={tmp_path}/a", "planner=[stop]"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", blind + f"sys.exit(main({words!r}))"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert "pip install 'drivevlm[train]'" in done.stderr
        assert done.stderr.count("\n") == 1
