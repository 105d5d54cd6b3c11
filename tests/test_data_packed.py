"""A packed recording tells the same as the recording that was packed."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from conftest import reference
from flat_world import flat_root
from label_world import label_line, write_labels
from same_recording import assert_same, tokens_of
from small_world import SmallRecording
from test_data_frames import folder
from tiny_tables import write_tables
from twin_world import write_twins

from drivevlm.data.dense import DenseView, SignalHead, read_dense, write_dense
from drivevlm.data.frames import FramesConfig, FramesRecording
from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.packed import PackedConfig, PackedRecording
from drivevlm.data.recording import DataError, Recording
from drivevlm.evaluate.pack import PackOrder, pack
from drivevlm.world.camera import FrameError
from drivevlm.world.sets import Signal

pytest.importorskip("pyarrow.parquet", reason="packed data need pyarrow (the extra [train])")

FLAT = {"version": "v1.0-flat", "frames": 3, "proposals": "oracle", "command": "gt_future"}


def packed(recording: Recording, out: Path, shard_bytes: int = 10**9) -> PackedRecording:
    pack(PackOrder(recording, shard_bytes), out)
    return PackedRecording(PackedConfig(str(out)))


@pytest.fixture(scope="module")
def flat() -> NuScenesRecording:
    return NuScenesRecording(NuScenesConfig(str(flat_root()), **FLAT))


@pytest.fixture(scope="module")
def flat_packed(flat: NuScenesRecording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "flat"
    packed(flat, out, shard_bytes=1)
    return out


def test_generated_scenes_are_read_back_field_by_field(
    flat: NuScenesRecording, flat_packed: Path
) -> None:
    recording = PackedRecording(PackedConfig(str(flat_packed)))
    assert_same(flat, recording)
    assert recording.digest == flat.digest
    assert recording.clip(tokens_of(flat)[5]).proposals is not None
    assert any(len(s.frames) == 3 for s in recording.clip(tokens_of(flat)[5]).cameras)


def test_tables_without_images_are_read_back_field_by_field(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data")
    words = {"scene-2001-02": "A car.", "scene-2002-00": "Two."}
    (tmp_path / "words.json").write_text(json.dumps(words))
    config = NuScenesConfig(
        str(root),
        frames=2,
        sweeps=True,
        summaries=str(tmp_path / "words.json"),
        cache=str(tmp_path),
    )
    source = NuScenesRecording(config)
    recording = packed(source, tmp_path / "packed")
    assert_same(source, recording)
    assert recording.clip("scene-2001-04").summary is not None
    with pytest.raises(FrameError, match="missing when the data were packed: No such file"):
        recording.clip("scene-2001-04").cameras[0].frames[0].decode()
    # With images missing it is not the same recording any more.
    assert recording.digest != source.digest


def test_real_scenes_are_read_back_field_by_field(tmp_path: Path) -> None:
    root = reference("nuscenes_mini_real")
    source = NuScenesRecording(NuScenesConfig(str(root), frames=2, cache=str(tmp_path)))
    recording = packed(source, tmp_path / "packed")
    assert_same(source, recording)
    there = [
        frame
        for sequence in recording.clip(tokens_of(source)[0]).cameras
        for frame in sequence.frames
    ]
    assert [frame.decode().shape for frame in there] == [(900, 1600, 3)] * 6


def test_images_without_poses_are_read_back_field_by_field(tmp_path: Path) -> None:
    source = FramesRecording(FramesConfig(str(folder(tmp_path)), frames=2))
    recording = packed(source, tmp_path / "packed")
    assert_same(source, recording)
    assert recording.truth(tokens_of(source)[0]) is None


def test_poses_without_images_are_read_back_field_by_field(tmp_path: Path) -> None:
    source = SmallRecording()
    assert_same(source, packed(source, tmp_path / "packed"))


def test_true_reasons_are_read_back_field_by_field(tmp_path: Path) -> None:
    root = write_tables(tmp_path / "data")
    write_labels(root / "v1.0-mini", [label_line("scene-2001-02")])
    source = NuScenesRecording(NuScenesConfig(str(root), cache=str(tmp_path)))
    recording = packed(source, tmp_path / "packed")
    assert_same(source, recording)
    truth = recording.truth("scene-2001-02")
    assert truth is not None
    assert truth.labels is not None
    assert truth.labels.signal.state is Signal.RED


def test_twins_are_read_back_field_by_field(tmp_path: Path) -> None:
    root = write_twins(tmp_path / "data")
    source = NuScenesRecording(
        NuScenesConfig(str(root), version="v1.0-twins", frames=2, cache=str(tmp_path))
    )
    recording = packed(source, tmp_path / "packed")
    assert_same(source, recording)
    assert len(recording.twins) == 2
    pair = recording.twins[0]
    a, b = (recording.clip(token).cameras[0].frames[-1].encoded for token in pair.tokens)
    assert a != b


def test_an_image_that_many_clips_show_is_kept_once(flat_packed: Path) -> None:
    counts = json.loads((flat_packed / "manifest.json").read_text())["counts"]
    # 2 scenes x 9 keyframes x 6 cameras; the first two clips of a scene have 1 and 2 of 3.
    assert counts["images"] == 108
    assert counts["frames"] == 2 * 6 * (1 + 2 + 7 * 3)
    assert counts["steps"] == 18


def test_a_part_of_the_scenes_is_another_recording(flat_packed: Path) -> None:
    whole = PackedRecording(PackedConfig(str(flat_packed)))
    second = whole.scenes()[1].name
    part = PackedRecording(PackedConfig(str(flat_packed), scenes=(second,)))
    assert [scene.name for scene in part.scenes()] == [second]
    assert part.digest != whole.digest
    with pytest.raises(DataError, match="is none of its 9 clips"):
        part.clip(whole.scenes()[0].tokens[0])
    with pytest.raises(DataError, match="no scene nowhere"):
        PackedRecording(PackedConfig(str(flat_packed), scenes=("nowhere",)))


def mean_of_images(recording: Recording, token: str) -> float:
    return float(np.mean([s.frames[-1].decode().mean() for s in recording.clip(token).cameras]))


def mean_of_frames(clip) -> float:
    return float(np.mean([s.frames[-1].decode().mean() for s in clip.cameras]))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_what_was_opened_before(flat_packed: Path, start: str) -> None:
    recording = PackedRecording(PackedConfig(str(flat_packed)))
    tokens = tokens_of(recording)[:4]
    here = [mean_of_images(recording, token) for token in tokens]
    with ProcessPoolExecutor(2, mp_context=get_context(start)) as pool:
        assert list(pool.map(mean_of_images, [recording] * 4, tokens)) == here
        assert list(pool.map(mean_of_frames, map(recording.clip, tokens))) == here


def test_a_clip_is_small_until_its_images_are_looked_at(flat_packed: Path) -> None:
    recording = PackedRecording(PackedConfig(str(flat_packed)))
    clip = recording.clip(tokens_of(recording)[4])
    image_bytes = sum(len(frame.encoded) for s in clip.cameras for frame in s.frames)
    assert len(pickle.dumps(clip)) < image_bytes / 2


def test_reading_wakes_neither_the_devkit_nor_shapely_nor_torch(flat_packed: Path) -> None:
    table = "import sys, drivevlm.build.table; assert 'pyarrow' not in sys.modules"
    reading = (
        "import sys; from drivevlm.data.packed import PackedConfig, PackedRecording\n"
        "assert 'pyarrow' not in sys.modules\n"
        f"r = PackedRecording(PackedConfig({str(flat_packed)!r}))\n"
        "t = r.scenes()[0].tokens[0]; r.clip(t).cameras[0].frames[0].decode(); r.truth(t)\n"
        "assert not {'nuscenes', 'torch', 'shapely', 'pandas'} & set(sys.modules)"
    )
    for code in (table, reading):
        subprocess.run([sys.executable, "-c", code], check=True)


def test_truth_per_pixel_comes_from_beside_the_tables(
    flat: NuScenesRecording, tmp_path: Path
) -> None:
    token = tokens_of(flat)[3]
    names = ("car-1", "car-2")
    mask = np.array([[0, 1], [2, 2], [0, 0]], dtype=np.uint16)
    head = SignalHead("light-7", Signal.RED, (10.5, 4.0, 13.5, 12.0))
    views = {
        "CAM_BACK": DenseView(None, names, mask * 3, ()),
        "CAM_FRONT": DenseView(mask, names, mask * 1000, (head,)),
    }
    write_dense(tmp_path / "truth", token, views)

    def dense(token: str):
        return read_dense(tmp_path / "truth", token)

    pack(PackOrder(flat, 10**9, dense=dense), tmp_path / "packed")
    found = PackedRecording(PackedConfig(str(tmp_path / "packed"))).dense(token)
    assert list(found) == list(views)
    for camera, view in views.items():
        for name in ("mask", "depth_cm"):
            np.testing.assert_array_equal(getattr(found[camera], name), getattr(view, name))
        assert found[camera].heads == view.heads
        assert found[camera].instances == names
    assert not PackedRecording(PackedConfig(str(tmp_path / "packed"))).dense(tokens_of(flat)[0])


def test_broken_truth_per_pixel_is_told_with_its_file(tmp_path: Path) -> None:
    assert read_dense(tmp_path, "a") == {}
    (tmp_path / "a.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"a\.npz: no truth per pixel"):
        read_dense(tmp_path, "a")
    np.savez(tmp_path / "b.npz", **{"CAM_FRONT.mask": np.ones((2, 2), dtype=np.uint16)})
    with pytest.raises(DataError, match="a mask names 0 objects, got 1"):
        read_dense(tmp_path, "b")


def test_what_is_no_packed_data_is_told_in_one_line(flat_packed: Path, tmp_path: Path) -> None:
    def told(path: Path | str) -> str:
        with pytest.raises(DataError) as caught:
            PackedRecording(PackedConfig(str(path)))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "data.path is not set" in told("")
    assert "no such folder" in told(tmp_path / "nowhere")
    assert "is no packed recording" in told(tmp_path)
    (tmp_path / "pack.json").write_text("{}")
    assert "is not finished" in told(tmp_path)
    manifest = json.loads((flat_packed / "manifest.json").read_text())
    for wrong, words in (
        ({**manifest, "format": 99}, "has format 99, this version reads 1"),
        ({**manifest, "scenes": [{"name": "a"}]}, "is damaged"),
        (manifest, "pack the data again"),  # the shards are not there
    ):
        (tmp_path / "manifest.json").write_text(json.dumps(wrong))
        assert words in told(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    assert "is damaged" in told(tmp_path)


def test_a_shard_that_was_cut_short_is_told(flat: NuScenesRecording, tmp_path: Path) -> None:
    packed(flat, tmp_path / "packed")
    images = tmp_path / "packed" / "shard-00000" / "images.parquet"
    whole = images.read_bytes()
    images.write_bytes(whole[:-9])
    with pytest.raises(DataError, match=r"images\.parquet has \d+ bytes, packed were \d+"):
        PackedRecording(PackedConfig(str(tmp_path / "packed")))
    images.write_bytes(whole[:-9] + b"123456789")
    recording = PackedRecording(PackedConfig(str(tmp_path / "packed")))
    with pytest.raises(FrameError, match="no whole table of packed data"):
        recording.clip(tokens_of(flat)[0]).cameras[0].frames[0].decode()


def test_a_folder_that_is_packed_again_is_read_anew(tmp_path: Path) -> None:
    """In one process, under one name: what was read before is not what is there now."""
    counts = []
    for samples in (9, 11):
        root = write_tables(tmp_path / f"data-{samples}", samples=samples)
        config = NuScenesConfig(str(root), cache=str(tmp_path / f"cache-{samples}"))
        shutil.rmtree(tmp_path / "packed", ignore_errors=True)
        recording = packed(NuScenesRecording(config), tmp_path / "packed")
        counts.append(len([recording.clip(token) for token in tokens_of(recording)]))
    assert counts == [18, 22]
