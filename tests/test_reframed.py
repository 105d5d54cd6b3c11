"""Windows of pictures: what a longer lens, turned a little, would have shown."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from train_cases import CONFIG, IMAGES, data

from drivevlm.build.learning import learned_from
from drivevlm.data.dense import DenseView, SignalHead
from drivevlm.dialogue.pictures import pictures_of, rays_of
from drivevlm.train.augment import Look
from drivevlm.train.config import Augment, TrainConfig
from drivevlm.train.reframed import Reframed, ReframedImage, Window
from drivevlm.world.image_boxes import image_boxes
from drivevlm.world.sets import Signal
from drivevlm.world.twins import TwinCause, TwinPair

PLAIN = Augment(colour=0.0, light=0.0, noise=0.0, blur_px=0.0, jpeg=95)
UNCHANGED = Look.draw(PLAIN, np.random.default_rng(0))


@pytest.fixture(scope="module")
def other() -> Reframed:
    return Reframed(data().recording, PLAIN, seed=1)


def test_a_window_shows_the_part_that_it_names():
    window = Window(0.25, 0.5, 0.5)
    columns, rows = np.meshgrid(np.arange(64), np.arange(32))
    image = np.stack([4 * columns, 8 * rows, 0 * rows], axis=-1).astype(np.uint8)
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "png")
    seen = ReframedImage(stored.getvalue(), window, UNCHANGED, 0).read_bytes()
    new = np.asarray(Image.open(io.BytesIO(seen))).astype(float)
    assert new.shape == image.shape
    # The centre of a new pixel k lies at (k + .5) / 2 + start - .5 of the old ones.
    x = (np.arange(64) + 0.5) * 0.5 + 16 - 0.5
    y = (np.arange(32) + 0.5) * 0.5 + 16 - 0.5
    np.testing.assert_allclose(new[8, :, 0], 4 * x, atol=2)
    np.testing.assert_allclose(new[:-1, 8, 1], 8 * y[:-1], atol=2)


def test_objects_lie_in_the_window_where_its_camera_says(other):
    """Boxes are projected by the camera alone: so does its matrix move them."""
    recording, token = data().recording, data().tokens[2]
    was = {
        (b.camera, b.instance): b
        for b in image_boxes(recording.clip(token), recording.truth(token))
    }
    now = image_boxes(other.clip(token), other.truth(token))
    whole = [box for box in now if box.inside > 0.999]
    assert whole
    for box in whole:
        old = was[box.camera, box.instance]
        size_px = recording.clip(token).cameras[0].camera.size_px
        m = other._window(token, box.camera).pixels_from(size_px)
        corners = np.array(old.box_px).reshape(2, 2) * [m[0, 0], m[1, 1]] + m[:2, 2]
        np.testing.assert_allclose(np.array(box.box_px).reshape(2, 2), corners, atol=1e-6)


def test_rays_are_those_of_the_old_pixels(other):
    token = data().tokens[3]
    (was,), (now,) = (pictures_of(r.clip(token), IMAGES) for r in (data().recording, other))
    old, new = rays_of(was, IMAGES), rays_of(now, IMAGES)
    window = other._window(token, "CAM_FRONT")
    height, width = new.shape[:2]
    row, column = height // 2, width // 3
    x = (column + 0.5) * window.share + window.left * width - 0.5
    y = (row + 0.5) * window.share + window.top * height - 0.5
    near = old[round(y), round(x)]
    assert np.abs(new[row, column] - near).max() < np.abs(old[0, 1] - old[0, 0]).max()


def test_truth_per_pixel_and_lamps_move_along():
    window, size_px = Window(0.5, 0.0, 0.5), (64, 32)
    mask = np.arange(32, dtype=np.uint16).reshape(4, 8)
    assert window.of(mask).tolist()[:2] == [[4, 4, 5, 5, 6, 6, 7, 7]] * 2
    head = window.head(SignalHead("light", Signal.RED, (40.0, 4.0, 44.0, 8.0)), size_px)
    assert head.box_px == pytest.approx((16.5, 8.5, 24.5, 16.5))
    assert window.of(None) is None


def test_twins_have_one_window_and_other_clips_another():
    a, b, c = data().tokens[:3]

    class Twins(type(data().recording)):
        twins = (TwinPair("one", "jaywalker", "t", (a, b), TwinCause("x", "y", "z", 9, 9.0), 5.0),)

    other = Reframed(Twins(), Augment(), seed=0)
    windows = [other._window(token, "CAM_FRONT") for token in (a, b, c)]
    assert windows[0] == windows[1] != windows[2]
    looks = [other.clip(token).cameras[0].frames[-1].source.look for token in (a, b, c)]
    assert looks[0] == looks[1] != looks[2]
    assert other.digest != Reframed(Twins(), Augment(), seed=1).digest


def test_dense_truth_is_seen_through_the_windows():
    class Dense(type(data().recording)):
        def dense(self, token):
            mask = np.arange(64, dtype=np.uint16).reshape(8, 8)
            return {"CAM_FRONT": DenseView(mask, ("a",) * 64, None, ())}

    other = Reframed(Dense(), PLAIN, seed=3)
    token = data().tokens[0]
    mask = other.dense(token)["CAM_FRONT"].mask
    window = other._window(token, "CAM_FRONT")
    np.testing.assert_array_equal(mask, window.of(Dense().dense(token)["CAM_FRONT"].mask))


def test_each_recording_is_learned_from_as_often_as_asked():
    config = replace(CONFIG, mirror=True, reframed=2)
    found = learned_from([data().recording], config)
    assert len({each.digest for each in found}) == len(found) == 6
    assert len(TrainConfig(mixture=(1,), mirror=True, reframed=2).shares) == 6


def test_what_is_no_image_is_left_for_its_reader(tmp_path):
    image = ReframedImage(b"nothing", Window(0, 0, 1), UNCHANGED, 0)
    assert image.read_bytes() == b"nothing"
    with pytest.raises(FileNotFoundError):
        ReframedImage(tmp_path / "gone.jpg", Window(0, 0, 1), UNCHANGED, 0).read_bytes()
