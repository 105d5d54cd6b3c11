import numpy as np
import pytest

from drivevlm.world.pose import Pose2, Pose3, rotation_from_wxyz, wrap_rad


def test_names_cancel_like_units():
    global_from_ego = Pose2(x_m=10.0, y_m=5.0, yaw_rad=np.pi / 2)
    ahead_and_left_ego_m = np.array([[2.0, 0.0], [0.0, 1.0]])
    xy_global_m = global_from_ego.apply(ahead_and_left_ego_m)
    np.testing.assert_allclose(xy_global_m, [[10.0, 7.0], [9.0, 5.0]], atol=1e-12)


def test_an_inverse_undoes_in_the_plane_and_in_space():
    flat = Pose2(3.0, -4.0, 2.5)
    point = np.array([1.5, 2.5])
    np.testing.assert_allclose((flat.inverse() @ flat).apply(point), point, atol=1e-12)
    tilted = Pose3.from_quaternion(wxyz=np.array([0.7, 0.1, -0.2, 0.5]), translation_m=np.ones(3))
    xyz = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose((tilted.inverse() @ tilted).apply(xyz), xyz, atol=1e-12)


def test_a_quaternion_is_read_w_first():
    quarter_turn = np.array([np.cos(np.pi / 4), 0.0, 0.0, np.sin(np.pi / 4)])
    ahead = np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(rotation_from_wxyz(quarter_turn) @ ahead, [0, 1, 0], atol=1e-12)


def test_a_planar_pose_in_space_keeps_its_yaw():
    pose = Pose3.from_pose2(Pose2(1.0, 2.0, 0.4), z_m=3.0)
    assert pose.yaw_rad == pytest.approx(0.4)
    assert pose.planar().x_m == 1.0
    np.testing.assert_allclose(pose.translation_m, [1, 2, 3])


@pytest.mark.parametrize(
    ("angle", "wrapped"), [(3 * np.pi, np.pi), (-np.pi, np.pi), (0.1, 0.1), (-4.0, 2 * np.pi - 4)]
)
def test_angles_fold_into_minus_pi_excluded_to_pi_included(angle, wrapped):
    assert wrap_rad(angle) == pytest.approx(wrapped)


def test_a_skewed_rotation_is_refused():
    with pytest.raises(ValueError, match="orthonormal"):
        Pose3(np.diag([1.0, 1.0, 1.1]), np.zeros(3))
