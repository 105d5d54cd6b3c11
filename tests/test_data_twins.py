import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from twin_world import NOW, VERSION, pair_line, write_lines, write_twins

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.recording import DataError, twins_of
from drivevlm.dialogue.blocks import BlockConfig
from drivevlm.dialogue.dialogue import Dialogue, PromptConfig
from drivevlm.evaluate.expert import examples_from
from drivevlm.evaluate.plan_run import Shard
from drivevlm.planner import VLMPlanner, plan_next
from drivevlm.vlm.scripted import ScriptedVLM
from drivevlm.vlm.seam import ImagePart, Request, TextPart

PROMPTS = Path(__file__).parents[1] / "prompts"
A, B = f"scene-2000-{NOW:02d}", f"scene-2001-{NOW:02d}"
ANSWER = "PLAN: " + " ".join(f"{2.0 * k:.2f},0.00" for k in range(1, 7))


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return write_twins(tmp_path_factory.mktemp("twins"), pairs=4)


def opened(root: Path, **settings) -> NuScenesRecording:
    settings = {"version": VERSION, "frames": 3, "cache": str(root / "cache"), **settings}
    return NuScenesRecording(NuScenesConfig(root=str(root), **settings))


def asked(recording: NuScenesRecording, *tokens: str, prompt: str = "base") -> list[Request]:
    """The requests of one planner that decides on one clip after another."""
    dialogue = Dialogue.of(PromptConfig(name=prompt), BlockConfig(), PROMPTS)
    vlm = ScriptedVLM([ANSWER] * len(tokens))
    examples = examples_from(recording, count=dialogue.example_count, seed=0)
    planner = VLMPlanner("vlm", vlm, dialogue, examples)
    for token in tokens:
        plan_next(planner, recording.clip(token))
    return vlm.requests


def without_pixels(request: Request) -> tuple:
    """All of a request but what the pictures show."""
    parts = [
        (message.role, part)
        if isinstance(part, TextPart)
        else (message.role, part.label, part.stamp_us, part.image_rgb.shape, part.rays)
        for message in request.messages
        for part in message.parts
    ]
    empty = replace(request, messages=request.messages[:1])
    return (parts, empty)


@pytest.mark.parametrize("command", ["none", "gt_future"])
@pytest.mark.parametrize("prompt", ["base", "few_shot"])
def test_the_requests_of_both_sides_differ_in_pixels_alone(world, prompt, command):
    first, second = asked(opened(world, command=command), A, B, prompt=prompt)
    assert without_pixels(first) == without_pixels(second)
    pictures = list(zip(first.images, second.images, strict=True))
    assert len(pictures) == 6  # two cameras, three pictures each
    for mine, yours in pictures:
        assert isinstance(mine, ImagePart)
        assert (mine.image_rgb != yours.image_rgb).any()
    assert first.digest != second.digest


def test_without_the_copying_the_sides_would_tell(world):
    """Each side's own clip: speeds and stamps differ, so the test above could fail."""
    recording = opened(world)
    mine, yours = recording._own_clip(A), recording._own_clip(B)
    assert mine.status is not None
    assert yours.status is not None
    assert mine.status.speed_mps - yours.status.speed_mps > 0.05
    late_us = [clip.cameras[0].frames[-1].stamp_us - clip.t0_us for clip in (mine, yours)]
    assert late_us[1] - late_us[0] == 300
    copied = recording.clip(B)
    assert copied.status == mine.status
    assert copied.token == B


def test_the_memory_is_empty_at_either_side(world):
    """A planner that has just decided on one side recalls nothing at the other, nor of a pair
    before."""
    recording = opened(world)
    dialogue = Dialogue.of(PromptConfig(), BlockConfig(), PROMPTS)
    planner = VLMPlanner("vlm", ScriptedVLM([ANSWER] * 8), dialogue)
    for scene in recording.scenes():
        for token in scene.tokens:
            shown = planner.recall(recording.clip(token))
            assert shown.prior is None
            assert shown.summary is None
            planner.remember(shown, planner.decide(shown))


def test_only_the_two_samples_of_a_pair_are_clips_and_a_pair_is_a_scene(world):
    recording = opened(world)
    scenes = recording.scenes()
    assert [scene.name for scene in scenes] == [f"pair-{k}" for k in range(4)]
    assert scenes[0].tokens == (A, B)
    assert recording.clip(B).scene == recording.clip(A).scene == "pair-0"
    with pytest.raises(DataError, match="none of the 8 chosen keyframes"):
        recording.clip("scene-2000-03")
    assert [pair.name for pair in twins_of(recording)] == [scene.name for scene in scenes]
    assert Shard(1, 2).of(scenes) == (scenes[1], scenes[3])  # no pair is torn


def test_each_side_keeps_its_own_future(world):
    recording = opened(world)
    ends = [recording.truth(token).future_path()[0][-1] for token in (A, B)]
    assert np.linalg.norm(ends[0] - ends[1]) > 10
    assert recording.truth(B).scene == "pair-0"
    assert recording.with_map(recording.truth(B)).map_polygons == {}


def test_a_pair_says_what_differs(world):
    pair = twins_of(opened(world, scenes=("pair-1",)))[0]
    assert (pair.family, pair.town, pair.tokens[0]) == ("stopped_vehicle", "elm", "scene-2002-04")
    cause = pair.cause
    assert (cause.kind, cause.name) == ("pedestrian", "scene-2003-object-1")
    assert (cause.pixels, cause.distance_m, cause.camera) == (60, 20.0, "CAM_FRONT")


def test_the_digest_changes_with_the_pairs_and_a_worker_reads_the_same(world):
    whole, part = opened(world), opened(world, scenes=("pair-0", "pair-1"))
    assert whole.digest != part.digest
    make, settings = whole.__reduce__()  # as a worker does
    again = make(*settings)
    assert again.digest == whole.digest
    assert again.twins == whole.twins


def lines(count: int = 1) -> list[dict]:
    return [pair_line(k, f"scene-{2000 + 2 * k}", f"scene-{2001 + 2 * k}") for k in range(count)]


def changed(*way, to) -> list[dict]:
    """One pair's line with another value at a place; ``...`` takes the key away."""
    told = lines()
    node = told[0]
    for key in way[:-1]:
        node = node[key]
    if to is ...:
        del node[way[-1]]
    else:
        node[way[-1]] = to
    return told


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (changed("samples", to=[A]), "line 1: samples must be the two sides' tokens"),
        (changed("samples", to=[A, ""]), "the two sides' tokens"),
        (changed("samples", to=[A, A]), "a side of one pair, once"),
        (changed("samples", to=[A, "gone"]), "pair pair-0: sample 'gone' is not in the tables"),
        (changed("family", to=...), "line 1: 'family' is missing"),
        (changed("t0_us", to=1.5), "t0_us must be of type int"),
        (changed("cause", to=None), "cause must be of type dict"),
        (changed("cause", "instance", to=...), "either an instance or a signal"),
        (changed("cause", "signal", to="head 1"), "either an instance or a signal"),
        (changed("cause", "pixels", to=True), "line 1: cause: pixels must be of type int"),
        (changed("cause", "distance_m", to=-1), "distance_m must be finite and not negative"),
        (changed("gap_3s_m", to=float("nan")), "gap_3s_m must be finite"),
        ([*lines(), *lines()], "two pairs are called pair-0"),
        ([*lines(), {**lines()[0], "pair": "x"}], "a side of one pair, once"),
        ([], "none of its 0 pairs"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_in_one_line(tmp_path, wrong, said):
    write_twins(tmp_path, pairs=1)
    write_lines(tmp_path, wrong)
    with pytest.raises(DataError, match=said) as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)
    assert "twins.jsonl" in str(caught.value)


def test_a_line_that_is_no_json_is_told_with_its_number(tmp_path):
    write_twins(tmp_path, pairs=1)
    path = tmp_path / VERSION / "twins.jsonl"
    for text, said in (
        ("\n{", "line 2: not valid JSON"),
        ("\n\n[1]", "line 3: expected an object"),
    ):
        path.write_text(json.dumps(lines()[0]) + text)
        with pytest.raises(DataError, match=said):
            opened(tmp_path)


def test_a_split_that_tears_a_pair_is_refused(tmp_path):
    write_twins(tmp_path, pairs=2)
    splits = {"torn": ["scene-2000"], "whole": ["scene-2002", "scene-2003"]}
    (tmp_path / VERSION / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(DataError, match="split 'torn' holds one side alone of 1 twin pairs"):
        opened(tmp_path, split="torn")
    assert [pair.name for pair in opened(tmp_path, split="whole").twins] == ["pair-1"]


def test_settings_that_twins_cannot_have_are_refused(world):
    with pytest.raises(DataError, match=r"data\.proposals=oracle: .* leave it out"):
        opened(world, proposals="oracle")
    with pytest.raises(DataError, match="no pair scene-2000 to choose; it has 4"):
        opened(world, scenes=("scene-2000",))


def test_sides_with_unlike_pictures_are_refused(tmp_path):
    write_twins(tmp_path, pairs=1)
    path = tmp_path / VERSION / "sample_data.json"
    shots = json.loads(path.read_text())
    kept = [
        shot
        for shot in shots
        if not (shot["sample_token"] == B and shot["filename"].startswith("samples/CAM_BACK_LEFT"))
    ]
    assert len(kept) == len(shots) - 1
    path.write_text(json.dumps(kept))
    recording = opened(tmp_path)
    with pytest.raises(DataError, match="the same pictures of CAM_BACK_LEFT"):
        recording.clip(B)


def test_a_recording_without_the_file_has_no_twins(world):
    (world / VERSION / "twins.jsonl").rename(world / "aside")
    try:
        recording = opened(world)
        assert twins_of(recording) == ()
        assert recording.clip("scene-2000-03").scene == "scene-2000"
    finally:
        (world / "aside").rename(world / VERSION / "twins.jsonl")
