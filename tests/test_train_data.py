"""What is learned from: features kept on disk, broken images, changed pictures."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from looking import Sixteen
from train_cases import CONFIG, IMAGES, begun, data, desk, native

from drivevlm.build.learning import _check_apart
from drivevlm.train.augment import Look
from drivevlm.train.batch import pixels_of
from drivevlm.train.config import Augment, Dropout, SectionWeights, TrainConfig, TrainError
from drivevlm.train.form import Forms
from drivevlm.train.lesson import lesson_of
from drivevlm.train.lessons import Course, DataSet, Place
from drivevlm.train.store import ArrayStore
from drivevlm.train.views import Views
from drivevlm.train.vocabulary import texts_of
from drivevlm.vlm.chat import Chat
from drivevlm.world.camera import Frame, FrameError
from drivevlm.world.pose import Pose3


def unseen(what: str, done: int, total: int) -> None:
    """Shows no bar."""


def views(folder, recording=None, model=None, precision="float32") -> Views:
    known, processor = begun()
    recording = recording or data().recording
    return Views(folder, recording, IMAGES, model or known, processor, precision)


def lesson(token):
    clip, decision = data()[token]
    return lesson_of(
        clip, native().answer(clip, decision), native(), Chat(begun()[1]), SectionWeights()
    )


# A store of arrays.


def test_what_was_added_is_there_again(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"a{k}": rng.normal(size=(k + 1, 3)).astype(np.float16) for k in range(5)}
    store = ArrayStore(tmp_path)
    for name, array in arrays.items():
        store.add(name, array)
        np.testing.assert_array_equal(store[name], array)
    store.flush()
    again = ArrayStore(tmp_path)
    assert len(again) == 5
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)


def test_a_closed_store_takes_more(tmp_path):
    store = ArrayStore(tmp_path)
    for k in range(3):
        store.add(f"a{k}", np.full(4, k))
        store.close()
    again = ArrayStore(tmp_path)
    assert [again[f"a{k}"].tolist() for k in range(3)] == [[k] * 4 for k in range(3)]


@pytest.mark.parametrize("file", ["numbers.f16", "names.jsonl"])
def test_a_store_that_was_broken_off_keeps_its_whole_arrays(tmp_path, file):
    store = ArrayStore(tmp_path)
    for k in range(3):
        store.add(f"a{k}", np.full(4, k))
    store.flush()
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-3])
    again = ArrayStore(tmp_path)
    assert sorted(name for name in ("a0", "a1", "a2") if name in again) == ["a0", "a1"]
    again.add("a2", np.full(4, 7))
    again.flush()
    np.testing.assert_array_equal(ArrayStore(tmp_path)["a2"], np.full(4, 7))
    np.testing.assert_array_equal(ArrayStore(tmp_path)["a1"], np.full(4, 1))


def test_numbers_beyond_half_precision_are_refused(tmp_path):
    with pytest.raises(ValueError, match="does not fit half precision"):
        ArrayStore(tmp_path).add("large", np.array([1e6]))


# Features of a frozen encoder.


def test_kept_features_are_those_of_the_pixels_and_are_made_once(tmp_path, monkeypatch):
    known = views(tmp_path)
    known.prepare(data().tokens[:3], unseen)
    model, processor = begun()
    for token in data().tokens[:3]:
        mine = lesson(token)
        pixels = pixels_of(IMAGES, Chat(processor), mine)
        for (image, rays), (features, seen) in zip(
            pixels, known.of(token, mine.pictures), strict=True
        ):
            with torch.no_grad():
                made = model.encode([image])[0].half().numpy()
            np.testing.assert_array_equal(features, made)
            np.testing.assert_allclose(seen, rays.numpy(), atol=2e-3)
    monkeypatch.setattr(model, "encode", lambda images: pytest.fail("encoded again"))
    views(tmp_path).prepare(data().tokens[:3], unseen)


def test_features_of_half_precision_are_near_the_others_and_kept_apart(tmp_path):
    token = data().tokens[0]
    kept = []
    for precision in ("float32", "bfloat16"):
        known = views(tmp_path, precision=precision)
        known.prepare([token], unseen)
        ((features, _),) = known.of(token, lesson(token).pictures)
        kept.append(features.astype(np.float32))
    off = np.abs(kept[0] - kept[1])
    assert 0 < off.mean() < 0.03 * np.abs(kept[0]).mean()


def test_features_of_other_weights_are_others(tmp_path):
    first = views(tmp_path)
    first.prepare(data().tokens[:1], unseen)
    other = deepcopy(begun()[0])
    with torch.no_grad():
        for parameter in other.vision_encoder.parameters():
            parameter.mul_(1.5)
    again = views(tmp_path, model=other)
    again.prepare(data().tokens[:1], unseen)
    mine = lesson(data().tokens[0]).pictures
    pairs = zip(first.of(data().tokens[0], mine), again.of(data().tokens[0], mine), strict=True)
    assert all(not np.array_equal(a[0], b[0]) for a, b in pairs)


def test_features_of_other_strides_are_kept_apart(tmp_path):
    views(tmp_path).prepare(data().tokens[:1], unseen)
    other = deepcopy(begun()[0])
    other.config.strides = [16]
    views(tmp_path, model=other)
    assert len(list(tmp_path.glob("features-*"))) == 2


def framed(clip, **changes):
    """The clip, every frame of it changed."""
    cameras = tuple(
        replace(s, frames=tuple(replace(f, **changes) for f in s.frames)) for s in clip.cameras
    )
    return replace(clip, cameras=cameras)


class Jittered(Sixteen):
    """Each clip's present pose is off by its sums' rounding, the last clip's by more."""

    def clip(self, token):
        clip = super().clip(token)
        place = self.tokens.index(token)
        off_m = 1e-13 * place if place < 3 else 0.01
        return framed(clip, now_from_then=Pose3(np.eye(3), np.array([off_m, 0.0, 0.0])))


def test_rays_of_one_camera_are_kept_once_whatever_the_rounding_of_its_poses(tmp_path):
    recording = Jittered()
    known = views(tmp_path, recording)
    known.prepare(recording.tokens[:3], unseen)
    (folder,) = tmp_path.glob("rays-*")
    assert len(ArrayStore(folder)) == 1
    known.prepare(recording.tokens[:4], unseen)
    assert len(ArrayStore(folder)) == 2


class CutOff:
    """An image that ends too early."""

    def read_bytes(self) -> bytes:
        return b"\xff\xd8\xff\xe0 cut"

    def __str__(self) -> str:
        return "cut.jpg"


class WithFault(Sixteen):
    """The second clip's image is broken."""

    def clip(self, token):
        clip = super().clip(token)
        if token != self.tokens[1]:
            return clip
        return framed(clip, source=CutOff())


def test_a_broken_image_is_named_and_its_clip_left_out(tmp_path):
    recording = WithFault()
    known = views(tmp_path, recording)
    known.prepare(recording.tokens[:3], unseen)
    assert list(known.faults) == [recording.tokens[1]]
    assert "cut.jpg" in known.faults[recording.tokens[1]]
    left = DataSet.of(recording, unseen).without(known.faults)
    assert len(left.tokens) == 15
    assert "skipped 1" in left.told()
    with pytest.raises(FrameError):
        Frame.decode(recording.clip(recording.tokens[1]).cameras[0].frames[-1])
    mended = views(tmp_path, recording)
    recording.clip = data().recording.clip
    mended.prepare(recording.tokens[:3], unseen)
    assert not mended.faults
    assert not views(tmp_path, recording).faults


class WithoutBack(Sixteen):
    """The second clip's rig has no camera behind."""

    def clip(self, token):
        clip = super().clip(token)
        there = tuple(s for s in clip.cameras if s.camera.name != "CAM_BACK")
        return replace(clip, cameras=there) if token == self.tokens[1] else clip


def test_a_clip_whose_rig_lacks_a_camera_is_learned_from_with_the_others():
    recording, processor = WithoutBack(), begun()[1]
    asked = native(replace(IMAGES, cameras=("CAM_FRONT", "CAM_BACK")))
    ready = replace(desk(processor, dialogue=asked), sets=(DataSet.of(recording, unseen),))
    batch = ready.batch([Place(k, 0, (recording.tokens[k],)) for k in (0, 1)])
    assert not batch.faults
    assert len(batch.images) == 3
    whole, less = map(Chat(processor).tokenizer.decode, batch.input_ids)
    assert "CAM_BACK" in whole
    assert "CAM_FRONT" in less
    assert "CAM_BACK" not in less


class WithoutFront(Sixteen):
    """The second clip's rig has no camera ahead."""

    def clip(self, token):
        clip = super().clip(token)
        there = tuple(s for s in clip.cameras if s.camera.name != "CAM_FRONT")
        return replace(clip, cameras=there) if token == self.tokens[1] else clip


def test_a_clip_with_none_of_the_cameras_asked_for_is_left_out_and_named():
    recording = WithoutFront()
    sets = (DataSet.of(recording, unseen),)
    assert list(texts_of(sets, Forms(native(), CONFIG), seed=0))
    ready = replace(desk(begun()[1]), sets=sets)
    ready.check_longest()
    batch = ready.batch([Place(k, 0, (recording.tokens[k],)) for k in (0, 1)])
    assert len(batch.images) == 1
    (fault,) = batch.faults.items()
    assert fault[0] == recording.tokens[1]
    assert "prompt.images.cameras=['CAM_FRONT']: clip" in fault[1]


def test_a_camera_that_is_asked_for_alone_never_drops_out():
    config = replace(CONFIG, dropout=Dropout(camera=0.5))
    forms, rng = Forms(native(), config), np.random.default_rng(0)
    rig = tuple(s.camera.name for s in data()[data().tokens[0]][0].cameras)
    assert not any("CAM_FRONT" in forms.draw("full", rng, rig).cameras_off for _ in range(50))


# Changed pictures.


def picture() -> np.ndarray:
    return np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (48, 1, 3))


def test_changed_pictures_keep_their_size_and_what_is_left_of_what():
    config = Augment(on=True)
    for seed in range(20):
        look = Look.draw(config, np.random.default_rng(seed))
        changed = look.apply(picture())
        assert changed.shape == picture().shape
        columns = changed.mean(axis=(0, 2))
        assert columns[:8].mean() < columns[28:36].mean() < columns[-8:].mean()


def test_one_draw_changes_a_picture_in_one_way():
    looks = [Look.draw(Augment(on=True), np.random.default_rng(k)) for k in (1, 1, 2)]
    shown = [look.apply(picture()) for look in looks]
    assert np.array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[1], shown[2])


def test_no_change_is_none():
    config = Augment(on=True, colour=0, light=0, noise=0, blur_px=0, jpeg=100)
    look = Look.draw(config, np.random.default_rng(0))
    assert np.array_equal(look.apply(picture()), picture())


def test_both_sides_of_a_pair_are_changed_alike():
    config = replace(CONFIG, augment=Augment(on=True))
    forms, rng = Forms(native(), config), np.random.default_rng(0)
    drawn = [forms.draw("full", rng, ()).look for _ in range(3)]
    assert all(a != b for a, b in pairwise(drawn))
    assert Forms(native(), CONFIG).draw("full", rng, ()).look is None


def test_cached_features_cannot_be_changed():
    with pytest.raises(ValueError, match=r"augment\.on needs cached=false"):
        TrainConfig(augment=Augment(on=True))


# What is learned from, and what not.


def test_worlds_that_number_their_scenes_alike_are_told_apart_by_place():
    class Elsewhere(Sixteen):
        def truth(self, token):
            truth = super().__getattr__("truth")(token)
            far = Pose3(np.eye(3), np.array([500.0, 0.0, 0.0]))
            now = replace(truth.now, global_from_ego=far @ truth.now.global_from_ego)
            return replace(truth, steps={**truth.steps, 0: now})

    _check_apart([Sixteen()], [Elsewhere()])
    with pytest.raises(TrainError, match="16 scenes of"):
        _check_apart([Sixteen()], [Sixteen()])


def test_an_answer_that_cannot_be_written_is_left_out_and_named():
    clip, decision = data()[data().tokens[0]]
    far = replace(decision, plan=replace(decision.plan, dt_s=0.7))
    known = {**data()._known, clip.token: (clip, far)}
    sets = (DataSet(data().recording, data().units, {}, known),)
    ready = replace(desk(begun()[1]), sets=sets)
    ready.check_longest()
    places = tuple(p for b in Course([data()], (), clips=16, seed=0).batches(16) for p in b)
    batch = ready.batch(places)
    assert list(batch.faults) == [clip.token]
    assert len(batch.input_ids) == 15


def test_a_clip_without_a_whole_future_is_skipped_counted_and_named():
    class WithEnd(Sixteen):
        def truth(self, token):
            truth = super().__getattr__("truth")(token)
            if token == self.tokens[7]:
                return replace(truth, steps={k: v for k, v in truth.steps.items() if k < 3})
            return truth

    found = DataSet.of(WithEnd(), lambda what, done, total: None)
    assert len(found.tokens) == 15
    assert "skipped 1 (the recorded future is incomplete), e.g." in found.told()


def test_a_training_knows_what_another_one_looked_at_meanwhile(tmp_path, monkeypatch):
    """Both opened an empty cache; the second would else write over what the first kept."""
    first, second = views(tmp_path), views(tmp_path)
    first.prepare(data().tokens[:2], unseen)
    looked = list[str]()
    look = second._look
    monkeypatch.setattr(second, "_look", lambda some, pool: looked.extend(some) or look(some, pool))
    second.prepare(data().tokens[:3], unseen)
    assert looked == [data().tokens[2]]
    again = views(tmp_path)
    for token in data().tokens[:3]:
        mine = lesson(token)
        ((features, _),) = again.of(token, mine.pictures)
        image, _ = pixels_of(IMAGES, Chat(begun()[1]), mine)[0]
        with torch.no_grad():
            np.testing.assert_array_equal(features, begun()[0].encode([image])[0].half().numpy())
