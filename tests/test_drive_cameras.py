"""Laws of what is known of a camera: from its camera_info, tf and the settings."""

import numpy as np
import pytest
from drive_bus import LocalBus, bad

from drivevlm.drive.calibration import Calibrator
from drivevlm.drive.frames import FrameTree, StaticTransform
from drivevlm.drive.messages.cameras import camera_info
from drivevlm.drive.messages.odometry import static_transforms
from drivevlm.drive.node_config import Calibration, CameraConfig, NodeConfig
from drivevlm.world.pose import Pose3

BUS = LocalBus()
K = (50.0, 0.0, 31.5, 0.0, 60.0, 17.5, 0.0, 0.0, 1.0)
OPTICAL = (-0.5, 0.5, -0.5, 0.5)  # x, y, z, w: looking ahead


def test_a_camera_info_is_size_matrix_and_frame():
    info = camera_info(BUS.info((64, 36), K), rectified=False)
    assert (info.size_px, info.frame_id, info.bend_px) == ((64, 36), "lens", 0.0)
    np.testing.assert_array_equal(info.intrinsics, np.reshape(K, (3, 3)))
    assert camera_info(BUS.info((64, 36), [0.0] * 9), rectified=False).intrinsics is None


def test_binning_and_a_region_of_interest_move_the_matrix_with_the_pixels():
    roi = BUS.make("sensor_msgs/msg/RegionOfInterest", x_offset=10, y_offset=4, width=40, height=20)
    info = camera_info(BUS.info((64, 36), K, roi=roi, binning_x=2, binning_y=4), rectified=False)
    assert info.size_px == (20, 5)
    expected = [[25.0, 0.0, 10.75], [0.0, 15.0, 3.375], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(info.intrinsics, expected)


def test_of_rectified_pictures_p_and_r_count():
    p = np.array([40.0, 0, 30, -7, 0, 40, 20, 0, 0, 0, 1, 0])
    r = np.array([0.0, -1, 0, 1, 0, 0, 0, 0, 1])
    message = BUS.info((64, 36), K, p=p, r=r, d=np.array([0.5, 0, 0, 0, 0]))
    info = camera_info(message, rectified=True)
    np.testing.assert_array_equal(info.intrinsics, [[40, 0, 30], [0, 40, 20], [0, 0, 1]])
    np.testing.assert_array_equal(info.rectified_from_optical, r.reshape(3, 3))
    assert info.bend_px == 0.0


def test_how_far_a_lens_bends_is_told_in_pixels_and_an_unknown_model_is_told_too():
    k = (100.0, 0.0, 50.0, 0.0, 100.0, 50.0, 0.0, 0.0, 1.0)
    d = np.array([0.1, 0, 0, 0, 0])
    info = camera_info(BUS.info((101, 101), k, d=d, distortion_model="plumb_bob"), rectified=False)
    # A corner lies at (0.5, 0.5): r^2 = 0.5, and 0.1 r^2 of 70.71 px is the shift.
    assert info.bend_px == pytest.approx(0.05 * 50 * 2**0.5)
    odd = camera_info(BUS.info((101, 101), k, d=d, distortion_model="unheard"), rectified=False)
    assert odd.bend_px is None


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"size_px": (0, 36)}, "got 0 x 36"),
        ({"k": (float("nan"), *K[1:])}, "k: expected 9 finite numbers"),
    ],
)
def test_a_camera_info_without_sense_is_refused(fields, why):
    with bad(why):
        camera_info(BUS.info(**({"size_px": (64, 36), "k": K} | fields)), rectified=False)


def test_static_frames_join_over_any_number_of_edges_in_any_order():
    tree = FrameTree()
    edges, complaints = static_transforms(
        BUS.tf(
            BUS.transform("mount", "lens", (0.0, 1.0, 0.0), OPTICAL),
            BUS.transform("broken", "rest", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)),
            BUS.transform("/base_link", "mount", (2.0, 0.0, 1.5), (0.0, 0.0, 1.0, 0.0)),
            BUS.transform("base_link", "lidar", (1.0, 0.0, 2.0), (0.0, 0.0, 0.0, 1.0)),
        )
    )
    assert len(complaints) == 1
    assert "'rest'" in complaints[0]
    for edge in edges:
        tree.add(edge)
    pose = tree.between(target="base_link", source="lens")
    assert pose is not None
    np.testing.assert_allclose(pose.translation_m, [2.0, -1.0, 1.5])
    np.testing.assert_allclose(pose.apply(np.array([0.0, 0, 5])), [-3.0, -1.0, 1.5], atol=1e-12)
    lidar = tree.between(target="lidar", source="lens")
    assert lidar is not None
    np.testing.assert_allclose(lidar.translation_m, [1.0, -1.0, -0.5])
    assert tree.between(target="base_link", source="rest") is None
    tree.add(StaticTransform("lens", "base_link", Pose3.identity()))  # a circle ends
    assert tree.between(target="base_link", source="moon") is None


def rig(calibration: Calibration | None = None, **camera) -> tuple[Calibrator, FrameTree]:
    tree = FrameTree()
    given = {} if calibration is None else {"CAM_FRONT": calibration}
    config = NodeConfig(camera=CameraConfig(**camera), calibration=given)
    return Calibrator(config, tree), tree


def test_a_camera_has_a_part_once_size_matrix_and_pose_are_known():
    cameras, tree = rig()
    assert "no camera_info came yet" in cameras.lacking()["CAM_FRONT"]
    cameras.heard("CAM_FRONT", camera_info(BUS.info((64, 36), K), rectified=False))
    assert "tf_static does not join base_link and lens" in cameras.lacking()["CAM_FRONT"]
    tree.add(*static_transforms(BUS.tf(BUS.transform("base_link", "lens", (1, 0, 2), OPTICAL)))[0])
    found = cameras.camera("CAM_FRONT")
    assert found is not None
    assert cameras.lacking() == {}
    np.testing.assert_allclose(found.ego_from_camera.apply(np.array([0.0, 0, 5])), [6, 0, 2])


def test_what_the_settings_say_of_a_camera_comes_first():
    given = Calibration((32, 18), (9.0, 0, 1, 0, 9, 1, 0, 0, 1), (5.0, 0.0, 1.0), OPTICAL)
    cameras, tree = rig(given)
    assert given.is_whole
    cameras.heard("CAM_FRONT", camera_info(BUS.info((64, 36), K), rectified=False))
    tree.add(StaticTransform("base_link", "lens", Pose3.identity()))
    found = cameras.camera("CAM_FRONT")
    assert found is not None
    assert (found.size_px, found.intrinsics[0, 0]) == ((32, 18), 9.0)
    np.testing.assert_allclose(found.ego_from_camera.translation_m, [5.0, 0.0, 1.0])


def test_an_uncalibrated_camera_has_a_part_only_where_that_was_declared():
    info = camera_info(BUS.info((64, 36), [0.0] * 9), rectified=False)
    strict, _ = rig()
    strict.heard("CAM_FRONT", info)
    assert "says it is uncalibrated" in strict.lacking()["CAM_FRONT"]
    free, _ = rig(calibrated=False)
    assert free.needs_size("CAM_FRONT")
    free.saw("CAM_FRONT", (8, 4))
    assert not free.needs_size("CAM_FRONT")
    assert free.camera("CAM_FRONT").size_px == (8, 4)
    free.heard("CAM_FRONT", info)
    found = free.camera("CAM_FRONT")
    assert (found.size_px, found.intrinsics, found.ego_from_camera) == ((64, 36), None, None)


def test_a_rectified_camera_is_turned_as_its_pictures_are():
    cameras, tree = rig(rectified=True)
    tree.add(StaticTransform("base_link", "lens", Pose3.identity()))
    p = np.array([40.0, 0, 30, 0, 0, 40, 20, 0, 0, 0, 1, 0])
    r = np.array([0.0, -1, 0, 1, 0, 0, 0, 0, 1])  # rectified y is optical x
    cameras.heard("CAM_FRONT", camera_info(BUS.info((64, 36), K, p=p, r=r), rectified=True))
    found = cameras.camera("CAM_FRONT")
    np.testing.assert_allclose(found.ego_from_camera.apply(np.array([0.0, 1, 0])), [1.0, 0, 0])
