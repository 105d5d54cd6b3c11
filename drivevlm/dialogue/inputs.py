"""A clip's blocks as plain values for the templates, and as words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from drivevlm.dialogue.blocks import Block, BlockConfig, Switch
from drivevlm.dialogue.control import acceleration_token, driven_tokens, speed_token
from drivevlm.dialogue.pictures import ImageConfig, heading_rad, pictures_of
from drivevlm.dialogue.spelling import one_line
from drivevlm.dialogue.words import Words
from drivevlm.world.clip import Clip
from drivevlm.world.ego import EgoStatus

Values = dict[str, Any] | None


def block_words(
    clip: Clip, words: Words, switches: BlockConfig, images: ImageConfig
) -> dict[Block, str]:
    """The words of every block that is not off, in the order of the prompt.

    A block that is blank, or whose input the clip lacks, says so in the template's own words.
    """
    found = {}
    for block in Block:
        switch = switches.of(block)
        if switch is Switch.OFF:
            continue
        if block is Block.CAMERAS:
            values = _cameras(clip, images, blank=switch is Switch.BLANK)
        else:
            values = _VALUES[block](clip) if switch is Switch.ON else None
        found[block] = words.part(block.value, known=values)
    return found


def _cameras(clip: Clip, images: ImageConfig, *, blank: bool) -> Values:
    pictures = pictures_of(clip, images)
    if not pictures:
        return None
    cameras = {picture.camera.name: picture.camera for picture in pictures}
    headings = {name: heading_rad(camera) for name, camera in cameras.items()}
    moments = Counter(p.camera.name for p in pictures if not p.is_crop)
    most = max(images.frames, *moments.values())
    return {
        "names": [
            {"name": name, "left_deg": None if yaw is None else round(float(np.degrees(yaw)))}
            for name, yaw in headings.items()
        ],
        "pictures": len(pictures),
        "moments": max(moments.values()),
        "oldest_s": max(picture.ago_s for picture in pictures),
        "shorter": [name for name, count in moments.items() if count < most],
        "blank": blank,
    }


def _ego_status(clip: Clip) -> Values:
    if clip.status is None and clip.history is None:
        return None
    status, past, driven = clip.status, [], list[str]()
    if clip.history is not None:
        history = clip.history
        stamp_s = (history.stamp_us - history.stamp_us[0]) / 1e6
        driven = driven_tokens(history.xy_ego_m, history.yaw_ego_rad, stamp_s)
        past = [
            {
                "ago_s": float(history.stamp_us[-1] - stamp_us) / 1e6,
                "x_m": float(xy[0]),
                "y_m": float(xy[1]),
                "yaw_deg": float(np.degrees(yaw)),
            }
            for stamp_us, xy, yaw in zip(
                history.stamp_us[:-1], history.xy_ego_m[:-1], history.yaw_ego_rad[:-1], strict=True
            )
        ]
    return {
        "speed_mps": None if status is None else status.speed_mps,
        "acceleration_mps2": None if status is None else status.acceleration_mps2,
        "yaw_rate_degps": None
        if status is None or status.yaw_rate_radps is None
        else float(np.degrees(status.yaw_rate_radps)),
        "past": past,
        "driven": driven,
        "motion": "" if status is None else _motion_tokens(status),
    }


def _motion_tokens(status: EgoStatus) -> str:
    """Speed and, where it is known, acceleration as the ``control`` codec writes them."""
    known = status.acceleration_mps2
    return speed_token(status.speed_mps) + ("" if known is None else acceleration_token(known))


def _scene_summary(clip: Clip) -> Values:
    if clip.summary is None:
        return None
    return {"text": one_line(clip.summary.text), "age_s": clip.summary.age_s}


def _proposals(clip: Clip) -> Values:
    if clip.proposals is None:
        return None
    return {
        "boxes": [
            {
                "id": box.id,
                "category": box.category,
                "x_m": float(box.center_ego_m[0]),
                "y_m": float(box.center_ego_m[1]),
                "length_m": float(box.size_lwh_m[0]),
                "width_m": float(box.size_lwh_m[1]),
                "yaw_deg": float(np.degrees(box.yaw_ego_rad)),
                "speed_mps": None
                if box.velocity_ego_mps is None
                else float(np.hypot(*box.velocity_ego_mps)),
                "score": box.score,
            }
            for box in clip.proposals.boxes
        ]
    }


def _prior(clip: Clip) -> Values:
    if clip.prior is None:
        return None
    plan = clip.prior.plan
    return {
        "age_s": clip.prior.age_s,
        "points": [
            {"t_s": (k + 1) * plan.dt_s, "x_m": float(x), "y_m": float(y)}
            for k, (x, y) in enumerate(plan.xy_ego_m)
        ],
    }


def _command(clip: Clip) -> Values:
    if clip.command is None:
        return None
    return {
        "word": clip.command.command.value,
        "text": one_line(clip.command.text),
        "distance_m": clip.command.distance_m,
    }


_VALUES: dict[Block, Callable[[Clip], Values]] = {
    Block.EGO_STATUS: _ego_status,
    Block.SCENE_SUMMARY: _scene_summary,
    Block.PROPOSALS: _proposals,
    Block.PRIOR: _prior,
    Block.COMMAND: _command,
}
