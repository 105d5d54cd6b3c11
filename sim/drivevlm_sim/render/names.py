"""Names and distances per pixel, drawn, or taken over from a setting that looks the same."""

from __future__ import annotations

import numpy as np

from drivevlm_sim.render.camera import DepthsM, Names, View
from drivevlm_sim.render.stage import TRUTH, Setting, Stage

# H, W: of a picture. N: names of a setting, the nameless 0 among them.
LEAST_PX = 0.7
"""What is smaller is left out, as it is of the pictures."""


def names_and_depths(stage: Stage, setting: Setting, view: View) -> tuple[Names, DepthsM]:
    """(H, W) whose each pixel is, and how far along the optical axis; infinite in the sky."""
    device = stage.device
    target = device.truth_target(view.size_px)
    target.use()
    target.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
    device.ctx.enable_only(device.ctx.DEPTH_TEST)
    device.ctx.depth_func = "<="
    device.set_uniforms(TRUTH, {"clip_from_town": view.clip_from_town})
    stage.draw(TRUTH, view, setting, least_px=LEAST_PX)
    width, height = view.size_px
    pair = np.frombuffer(target.read(components=2, dtype="f4"), dtype=np.float32)
    pair = pair.reshape(height, width, 2)
    depths_m = pair[..., 1].copy()
    depths_m[depths_m <= 0] = np.inf
    return pair[..., 0].astype(np.uint16), depths_m


def renamed(view: View, there: Setting, here: Setting) -> Names | None:
    """(N,) what the names of a setting are called in another one, where a view shows both alike.

    None where anything that the view may show differs; lamps and paint have no part in names.
    """
    then, now = (setting.seen(view, LEAST_PX) for setting in (there, here))
    then_rows, rows = there.rows[then], here.rows[now]
    if not np.array_equal(there.kinds[then], here.kinds[now]) or not np.array_equal(
        then_rows[:, :12], rows[:, :12]
    ):
        return None
    names = np.zeros(len(there.actors) + there.heads + 1, dtype=np.uint16)
    names[then_rows[:, 16].astype(np.int64)] = rows[:, 16]
    return names
