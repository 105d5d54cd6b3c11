import io
import pickle

import numpy as np
import pytest
from PIL import Image

from drivevlm.world.camera import Camera, CameraSequence, Frame, FrameError
from drivevlm.world.clip import RIG_SPREAD_US, Clip


def jpeg(size_px=(32, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((size_px[1], size_px[0], 3), 90, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_frame_reads_its_file_on_first_use_and_replays_the_original_bytes(tmp_path):
    path = tmp_path / "a.jpg"
    frame = Frame(0, (32, 16), path)
    path.write_bytes(jpeg())
    assert frame.encoded == jpeg()
    assert frame.decode().shape == (16, 32, 3)


def test_a_loaded_frame_travels_without_its_file(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg())
    travelled = pickle.loads(pickle.dumps(Frame(7, (32, 16), path).loaded()))  # noqa: S301
    path.unlink()
    assert travelled.digest == Frame(7, (32, 16), jpeg()).digest
    assert travelled.stamp_us == 7


@pytest.mark.parametrize("cut", [10, 200, -2])
def test_a_truncated_image_is_an_error_and_never_a_grey_picture(cut):
    with pytest.raises(FrameError, match="whole JPEG"):
        Frame(0, (32, 16), jpeg()[:cut]).decode()


def test_a_header_that_claims_a_gigantic_image_is_an_error_of_that_frame():
    claimed = bytearray(jpeg())
    size = claimed.index(b"\xff\xc0") + 5
    claimed[size : size + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(FrameError, match="whole JPEG"):
        Frame(0, (32, 16), bytes(claimed)).decode()


def test_a_missing_image_says_which(tmp_path):
    with pytest.raises(FrameError, match=r"gone\.jpg"):
        Frame(0, (32, 16), tmp_path / "gone.jpg").decode()


def test_an_image_of_another_size_is_an_error():
    with pytest.raises(FrameError, match=r"expected .* pixels"):
        Frame(0, (64, 32), jpeg()).decode()


def test_a_clip_refuses_an_image_from_the_future():
    sequence = CameraSequence(Camera("CAM", (32, 16)), (Frame(RIG_SPREAD_US + 1, (32, 16), b""),))
    with pytest.raises(ValueError, match="holds no future"):
        Clip("t", "s", 0, (sequence,))


def test_a_pinhole_projects_and_leaves_out_what_is_behind():
    k = np.array([[100.0, 0, 16], [0, 100.0, 8], [0, 0, 1]])
    pixels, ahead = Camera("CAM", (32, 16), k).project(np.array([[1.0, 0.5, 10.0], [0, 0, -1]]))
    np.testing.assert_allclose(pixels[0], [26.0, 13.0])
    assert ahead.tolist() == [True, False]
