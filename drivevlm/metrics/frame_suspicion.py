"""Are plans in the axes that their file says? A look at all quarter turns and mirrors."""

from __future__ import annotations

import numpy as np

from drivevlm.metrics.raster import Bools
from drivevlm.world.pose import Floats

# N: clips, T: steps.

FEWEST_CLIPS = 10
MOVES_M = 2.0
"""A clip moves where its recorded path ends this far away, and turns where it ends this far off
both axes: on a straight road a path and its mirror are alike."""
MUCH_BETTER = 0.5
BETTER_BY_M = 1.0
MIRROR_BETTER = 0.9

_TURNS = (
    ("", np.eye(2)),
    ("turned a quarter clockwise", np.array([[0.0, 1.0], [-1.0, 0.0]])),
    ("turned a quarter counter-clockwise", np.array([[0.0, -1.0], [1.0, 0.0]])),
    ("turned by half", -np.eye(2)),
)
_FLIP = np.diag([1.0, -1.0])
_MIRRORS = (
    ("with the second number's sign changed", _FLIP),
    ("with x and y exchanged", np.array([[0.0, 1.0], [1.0, 0.0]])),
    ("with x and y exchanged and both signs changed", np.array([[0.0, -1.0], [-1.0, 0.0]])),
    ("with the first number's sign changed", -_FLIP),
)


def frame_suspicion(xy_m: Floats, recorded_xy_m: Floats) -> str:
    """A warning where plans fit the recorded paths much better in other axes; "" where not.

    Mean L2 is taken as read and under the seven other quarter turns and mirrors. Another one fits
    much better where its mean is less than half, and by at least 1 m. That is asked of the clips
    that move, then of those that turn, which alone can tell a mirror; there must be 10. A mirror
    is named only where it fits better than any turn by a tenth, as on straight roads they tie.

    Args:
        xy_m: (N, T, 2) as read; NaN where a plan failed: that clip is passed over.
        recorded_xy_m: (N, T, 2) in the axes that the file claims; NaN where not recorded.
    """
    if xy_m.shape != recorded_xy_m.shape:
        raise ValueError(f"plans are {xy_m.shape}, recorded paths are {recorded_xy_m.shape}")
    whole = np.isfinite(xy_m).all(axis=(1, 2)) & np.isfinite(recorded_xy_m).all(axis=(1, 2))
    plans_m, recorded_m = xy_m[whole], recorded_xy_m[whole]
    end_m = recorded_m[:, -1]
    moves = np.hypot(end_m[:, 0], end_m[:, 1]) >= MOVES_M
    turns = (np.abs(end_m) >= MOVES_M).all(axis=1)
    for which, clips in (("move", moves), ("turn", turns)):
        warning = _warning(plans_m, recorded_m, clips, which)
        if warning:
            return warning
    return ""


def _warning(plans_m: Floats, recorded_m: Floats, clips: Bools, which: str) -> str:
    if np.count_nonzero(clips) < FEWEST_CLIPS:
        return ""

    def mean_m(matrix: Floats) -> float:
        off_m = plans_m[clips] @ matrix.T - recorded_m[clips]
        return float(np.hypot(off_m[..., 0], off_m[..., 1]).mean())

    own_m = mean_m(np.eye(2))
    turn_m, turn = min((mean_m(matrix), name) for name, matrix in _TURNS)
    mirror_m, mirror = min((mean_m(matrix), name) for name, matrix in _MIRRORS)
    best_m, best = (mirror_m, mirror) if mirror_m < MIRROR_BETTER * turn_m else (turn_m, turn)
    if not (best_m < MUCH_BETTER * own_m and own_m - best_m >= BETTER_BY_M):
        return ""
    return (
        f"the plans look as if in other axes: {best} their mean L2 is {best_m:.2f} m, as read "
        f"{own_m:.2f} m ({np.count_nonzero(clips)} clips that {which}); lidar is x right, y ahead, "
        "ego is x ahead, y left"
    )
