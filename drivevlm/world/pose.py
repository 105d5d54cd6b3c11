"""Rigid poses in the plane and in space, named ``a_from_b`` so that names cancel like units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def wrap_rad(angle_rad: Floats | float) -> Floats:
    """Angles folded into (-pi, pi]."""
    return np.asarray(np.pi - np.mod(np.pi - np.asarray(angle_rad, dtype=np.float64), 2 * np.pi))


@dataclass(frozen=True, slots=True)
class Pose2:
    """A frame ``b`` seen from a frame ``a`` in the ground plane.

    Attributes:
        x_m, y_m: Origin of ``b`` in ``a``.
        yaw_rad: Counter-clockwise turn from ``a``'s x axis to ``b``'s.
    """

    x_m: float
    y_m: float
    yaw_rad: float

    def __post_init__(self) -> None:
        if not np.isfinite([self.x_m, self.y_m, self.yaw_rad]).all():
            raise ValueError(f"a pose must be finite, got {self.x_m, self.y_m, self.yaw_rad}")

    def apply(self, xy_b_m: Floats) -> Floats:
        """Points (..., 2) given in ``b``, in ``a``."""
        cos, sin = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        xy = np.asarray(xy_b_m, dtype=np.float64)
        x, y = xy[..., 0], xy[..., 1]
        return np.stack([self.x_m + cos * x - sin * y, self.y_m + sin * x + cos * y], axis=-1)

    def inverse(self) -> Pose2:
        """``a`` seen from ``b``."""
        cos, sin = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        return Pose2(
            x_m=float(-cos * self.x_m - sin * self.y_m),
            y_m=float(sin * self.x_m - cos * self.y_m),
            yaw_rad=-self.yaw_rad,
        )

    def __matmul__(self, b_from_c: Pose2) -> Pose2:
        x_m, y_m = self.apply(np.array([b_from_c.x_m, b_from_c.y_m]))
        return Pose2(float(x_m), float(y_m), float(wrap_rad(self.yaw_rad + b_from_c.yaw_rad)))


@dataclass(frozen=True, slots=True, eq=False)
class Pose3:
    """A frame ``b`` seen from a frame ``a`` in space.

    Attributes:
        rotation: (3, 3); its columns are ``b``'s axes in ``a``.
        translation_m: (3,) origin of ``b`` in ``a``.
    """

    rotation: Floats
    translation_m: Floats

    def __post_init__(self) -> None:
        if self.rotation.shape != (3, 3) or self.translation_m.shape != (3,):
            raise ValueError(
                "a Pose3 needs a (3, 3) rotation and a (3,) translation, got "
                f"{self.rotation.shape} and {self.translation_m.shape}"
            )
        if not np.isfinite(self.translation_m).all():
            raise ValueError(f"a pose must be finite, got translation {self.translation_m}")
        off = np.abs(self.rotation @ self.rotation.T - np.eye(3)).max()
        if not off < 1e-5:
            raise ValueError(f"a rotation must be orthonormal, R R^T is off by {off:.2g}")

    @classmethod
    def identity(cls) -> Pose3:
        """The frame itself."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_quaternion(cls, *, wxyz: Floats, translation_m: Floats) -> Pose3:
        """From a quaternion (w, x, y, z) of any length but zero, and an origin."""
        rotation = rotation_from_wxyz(np.asarray(wxyz, dtype=np.float64))
        return cls(rotation, np.asarray(translation_m, dtype=np.float64))

    @classmethod
    def from_pose2(cls, pose: Pose2, z_m: float = 0.0) -> Pose3:
        """A planar pose, raised to ``z_m``."""
        cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
        rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        return cls(rotation, np.array([pose.x_m, pose.y_m, z_m]))

    def apply(self, xyz_b_m: Floats) -> Floats:
        """Points (..., 3) given in ``b``, in ``a``."""
        turned = np.asarray(xyz_b_m, dtype=np.float64) @ self.rotation.T
        return np.asarray(turned + self.translation_m)

    def inverse(self) -> Pose3:
        """``a`` seen from ``b``."""
        return Pose3(self.rotation.T, -self.rotation.T @ self.translation_m)

    def __matmul__(self, b_from_c: Pose3) -> Pose3:
        return Pose3(self.rotation @ b_from_c.rotation, self.apply(b_from_c.translation_m))

    @property
    def yaw_rad(self) -> float:
        """Heading of ``b``'s x axis in ``a``'s ground plane."""
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))

    def planar(self) -> Pose2:
        """The same pose without height, roll and pitch."""
        return Pose2(float(self.translation_m[0]), float(self.translation_m[1]), self.yaw_rad)


def rotation_from_wxyz(wxyz: Floats) -> Floats:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) in the order w, x, y, z."""
    if wxyz.shape[-1:] != (4,):
        raise ValueError(f"a quaternion has four numbers (w, x, y, z), got shape {wxyz.shape}")
    length = np.linalg.norm(wxyz, axis=-1, keepdims=True)
    if not (np.isfinite(length).all() and (length > 1e-9).all()):
        raise ValueError("a quaternion must be finite and not zero")
    w, x, y, z = np.moveaxis(wxyz / length, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
