"""A recording in a mirror: everything turns, and what was true stays true."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from train_cases import IMAGES, data

from drivevlm.data.dense import DenseView, SignalHead
from drivevlm.data.mirrored import Mirrored, MirroredImage
from drivevlm.dialogue.pictures import pictures_of, rays_of
from drivevlm.train.config import TrainConfig
from drivevlm.train.lessons import DataSet
from drivevlm.world.image_boxes import image_boxes
from drivevlm.world.mirror import mirrored_labels, mirrored_words
from drivevlm.world.sets import Command, LaneRelation, Lateral, MetaDecision, Signal


@pytest.fixture(scope="module")
def mirror() -> Mirrored:
    return Mirrored(data().recording)


def test_left_and_right_are_exchanged_in_words_and_names_but_not_in_rights():
    assert mirrored_words("CAM_FRONT_LEFT") == "CAM_FRONT_RIGHT"
    assert mirrored_words("change_right") == "change_left"
    assert mirrored_words("Left of it, to the right.") == "Right of it, to the left."
    assert mirrored_words("A van with the right of way is bright.") == (
        "A van with the right of way is bright."
    )


@pytest.mark.parametrize("words", [Command, Lateral, LaneRelation])
def test_every_word_of_the_closed_sets_has_its_mirror_image(words):
    turned = [words(mirrored_words(word.value)) for word in words]
    assert sorted(turned) == sorted(words)
    assert turned != list(words)


def test_reasons_turn():
    labels = data().recording.truth(data().tokens[0]).labels
    left = replace(
        labels,
        meta=MetaDecision(labels.meta.longitudinal, Lateral.NUDGE_LEFT),
        sentences=("I move to the left.",),
    )
    turned = mirrored_labels(left)
    assert turned.meta.lateral is Lateral.NUDGE_RIGHT
    assert turned.sentences == ("I move to the right.",)


def test_objects_lie_in_the_turned_pictures_where_they_lay(mirror):
    """Cameras, boxes and poses agree: each box is at the other side of the other camera's image."""
    recording = data().recording
    for token in data().tokens[:4]:
        was = image_boxes(recording.clip(token), recording.truth(token))
        now = {
            (b.camera, b.instance): b for b in image_boxes(mirror.clip(token), mirror.truth(token))
        }
        width_px = recording.clip(token).cameras[0].camera.size_px[0]
        assert was
        assert len(now) == len(was)
        for box in was:
            left, top, right, bottom = box.box_px
            other = now[mirrored_words(box.camera), box.instance]
            expected = (width_px - 1 - right, top, width_px - 1 - left, bottom)
            # At the image's border a hull is cut at 0 and at the width, which is no pixel's centre.
            np.testing.assert_allclose(other.box_px, expected, atol=1.01)
            assert other.depth_m == pytest.approx(box.depth_m)


def test_each_turned_pixel_has_the_ray_of_its_own_pixel_turned(mirror):
    token = data().tokens[3]
    (was,) = pictures_of(data().recording.clip(token), IMAGES)
    (now,) = pictures_of(mirror.clip(token), IMAGES)
    expected = rays_of(was, IMAGES)[:, ::-1] * np.array([1, -1, 1, 1, -1, 1])
    np.testing.assert_allclose(rays_of(now, IMAGES), expected, atol=1e-6)
    image, turned = was.frame.decode(), now.frame.decode()
    np.testing.assert_array_equal(turned, image[:, ::-1])


def test_the_future_and_its_decision_turn(mirror):
    there = DataSet.of(mirror, lambda what, done, total: None)
    assert there.tokens == data().tokens
    aside_m = 0.0
    for token in there.tokens:
        (clip, decision), (was, before) = there[token], data()[token]
        np.testing.assert_allclose(decision.plan.xy_ego_m, before.plan.xy_ego_m * [1, -1])
        assert decision.meta.lateral.value == mirrored_words(before.meta.lateral.value)
        aside_m = max(aside_m, np.abs(before.plan.xy_ego_m[:, 1]).max())
        assert clip.status.yaw_rate_radps == pytest.approx(-was.status.yaw_rate_radps)
        assert clip.command.command.value == mirrored_words(was.command.command.value)
        names = [sequence.camera.name for sequence in clip.cameras]
        assert names == [sequence.camera.name for sequence in was.cameras]
    assert aside_m > 0.1


def test_a_mirror_in_a_mirror_shows_the_recording(mirror):
    twice = Mirrored(mirror)
    token = data().tokens[6]
    was, again = data().recording.truth(token), twice.truth(token)
    np.testing.assert_allclose(again.now.boxes.wxyz_global, was.now.boxes.wxyz_global)
    pose = was.now.global_from_ego
    np.testing.assert_allclose(again.now.global_from_ego.rotation, pose.rotation)
    assert again.labels == was.labels
    first, second = data().recording.clip(token), twice.clip(token)
    for a, b in zip(first.cameras, second.cameras, strict=True):
        np.testing.assert_allclose(a.camera.intrinsics, b.camera.intrinsics)
        np.testing.assert_array_equal(a.frames[-1].decode(), b.frames[-1].decode())
    assert len({data().recording.digest, mirror.digest, twice.digest}) == 3


def test_truth_per_pixel_turns_with_its_camera():
    class Dense(type(data().recording)):
        def dense(self, token):
            mask = np.array([[0, 1], [0, 2]], dtype=np.uint16)
            head = SignalHead("light", Signal.RED, (10.0, 1.0, 12.0, 5.0))
            return {"CAM_FRONT_LEFT": DenseView(mask, ("a", "b"), None, (head,))}

    recording = Dense()
    token = data().tokens[0]
    width_px = recording.clip(token).cameras[0].camera.size_px[0]
    ((name, view),) = Mirrored(recording).dense(token).items()
    assert name == "CAM_FRONT_RIGHT"
    assert view.mask.tolist() == [[1, 0], [2, 0]]
    assert view.heads[0].box_px == (width_px - 12, 1.0, width_px - 10, 5.0)


def test_a_broken_image_stays_broken_for_its_reader(tmp_path):
    assert MirroredImage(b"").read_bytes() == b""
    assert MirroredImage(b"no image").read_bytes() == b"no image"
    whole = cv2.imencode(".png", np.arange(24, dtype=np.uint8).reshape(2, 4, 3))[1].tobytes()
    with pytest.raises(FileNotFoundError):
        MirroredImage(tmp_path / "gone.jpg").read_bytes()
    turned = cv2.imdecode(np.frombuffer(MirroredImage(whole).read_bytes(), np.uint8), 1)
    assert turned.reshape(2, 4, 3)[0, 0].tolist() == [9, 10, 11]


def test_mirror_images_are_drawn_as_often_as_what_they_mirror():
    assert TrainConfig(mixture=(1, 3), mirror=True).shares == (1, 3, 1, 3)
    assert TrainConfig(mixture=(1, 3)).shares == (1, 3)
    assert TrainConfig(mirror=True).shares == ()
