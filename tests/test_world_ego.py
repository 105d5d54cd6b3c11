import numpy as np
import pytest

from drivevlm.world.ego import EgoHistory, status_from_history
from drivevlm.world.pose import Pose2


def driven(*x_m: float) -> EgoHistory:
    poses = [Pose2(100.0, 50.0 + x, np.pi / 2) for x in x_m]
    return EgoHistory.from_poses(poses, stamp_us=[500_000 * k for k in range(len(poses))])


def test_poses_become_a_history_that_ends_at_the_origin():
    history = driven(0.0, 5.0)
    np.testing.assert_allclose(history.xy_ego_m, [[-5.0, 0.0], [0.0, 0.0]], atol=1e-9)


def test_status_is_the_backward_difference():
    status = status_from_history(driven(0.0, 4.0, 9.0))
    assert status is not None
    assert status.speed_mps == pytest.approx(10.0)
    assert status.acceleration_mps2 == pytest.approx(4.0)  # 8 then 10 m/s, half a second apart
    assert status.yaw_rate_radps == pytest.approx(0.0)


def test_reversing_has_a_negative_speed():
    status = status_from_history(driven(1.0, 0.0))
    assert status is not None
    assert status.speed_mps == pytest.approx(-2.0)


def test_what_the_past_cannot_tell_is_none_not_zero():
    assert status_from_history(driven(0.0)) is None
    status = status_from_history(driven(0.0, 1.0))
    assert status is not None
    assert status.acceleration_mps2 is None


def test_a_pose_between_two_is_interpolated_and_outside_is_none():
    history = driven(0.0, 5.0)
    middle = history.pose_at(250_000)
    assert middle is not None
    assert middle.x_m == pytest.approx(-2.5)
    assert history.pose_at(600_000) is None
