"""Clips made by hand and random decisions for the tests of asking and reading."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from drivevlm.dialogue.answer import AnswerFormat
from drivevlm.dialogue.blocks import BlockConfig
from drivevlm.dialogue.config import CODECS, PromptConfig
from drivevlm.dialogue.dialogue import Dialogue
from drivevlm.dialogue.sections import SectionName
from drivevlm.dialogue.words import Words
from drivevlm.world.boxes import CATEGORIES, Box3, Detection
from drivevlm.world.camera import Camera, CameraSequence, Frame
from drivevlm.world.clip import Clip, Prior, Proposals, RouteCommand, Summary
from drivevlm.world.decision import CriticalObject, Decision
from drivevlm.world.ego import EgoHistory, status_from_history
from drivevlm.world.kinematics import unicycle
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.sets import (
    Command,
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Provenance,
    Signal,
    Verdict,
)

PROMPTS = Path(__file__).parents[1] / "prompts"
T0_US = 10_000_000
HALF_SECOND_US = 500_000
SIZE_PX = (64, 36)
ORDERS: tuple[tuple[SectionName, ...], ...] = tuple(
    tuple(SectionName(name) for name in names.split())
    for names in (
        "DETECT SCENE SPATIAL DECIDE PLAN",
        "PLAN DECIDE DETECT SCENE SPATIAL",
        "SPATIAL DETECT PLAN",
        "PLAN",
        "PLAN SCENE",
        "SPATIAL SCENE PLAN DECIDE",
    )
)
FORMATS = [(order, codec) for order in ORDERS for codec in CODECS]


@lru_cache
def words() -> Words:
    return Words.of(PROMPTS)


def answer_format(order: tuple[SectionName, ...], codec: str, *, steps: int = 6) -> AnswerFormat:
    return AnswerFormat(order, CODECS[codec](steps=steps), words())


def dialogue(config: PromptConfig | None = None, blocks: BlockConfig | None = None) -> Dialogue:
    return Dialogue.of(config or PromptConfig(), blocks or BlockConfig(), PROMPTS)


def looking(left_deg: float) -> Pose3:
    """A level camera 1.5 m up whose view points so far to the left of straight ahead."""
    yaw = np.radians(left_deg)
    ahead, right = [np.cos(yaw), np.sin(yaw), 0.0], [np.sin(yaw), -np.cos(yaw), 0.0]
    return Pose3(np.array([right, [0.0, 0.0, -1.0], ahead]).T, np.array([1.0, 0.0, 1.5]))


def camera(name: str, left_deg: float) -> Camera:
    k = np.array([[50.0, 0.0, 31.5], [0.0, 50.0, 17.5], [0.0, 0.0, 1.0]])
    return Camera(name, SIZE_PX, k, looking(left_deg))


@lru_cache
def png(shade: int) -> bytes:
    pixels = np.full((SIZE_PX[1], SIZE_PX[0], 3), shade, dtype=np.uint8)
    pixels[:, : SIZE_PX[0] // 2, 0] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def sequence(name: str, left_deg: float, *, frames: int) -> CameraSequence:
    stamps = [T0_US - k * HALF_SECOND_US for k in range(frames)][::-1]
    return CameraSequence(
        camera(name, left_deg),
        tuple(Frame(stamp, SIZE_PX, png(40 * k)) for k, stamp in enumerate(stamps)),
    )


def proposals(count: int) -> Proposals:
    boxes = tuple(
        Box3(
            np.array([8.0 + 4 * k, 2.0 - k, 0.8]),
            np.array([4.5, 1.9, 1.6]),
            0.1 * k,
            CATEGORIES[k % len(CATEGORIES)],
            velocity_ego_mps=None if k % 2 else np.array([3.0, 4.0]),
            score=None if k % 3 == 2 else 0.9 - 0.04 * k,
            id=f"p{k + 1}",
        )
        for k in range(count)
    )
    return Proposals(boxes, Provenance.DETECTOR)


def bare_clip(count: int = 0) -> Clip:
    """Nothing but proposals."""
    return Clip("bare", "s", T0_US, (), proposals=proposals(count) if count else None)


def full_clip() -> Clip:
    """Two cameras, of which one has an earlier frame, and every block filled."""
    history = EgoHistory.from_poses(
        [Pose2(2.0 * k, 0.1 * k, 0.02 * k) for k in range(4)],
        stamp_us=[T0_US - (3 - k) * HALF_SECOND_US for k in range(4)],
    )
    path = np.stack([np.arange(1, 6) * 2.0, np.arange(1, 6) * 0.1], axis=1)
    return Clip(
        "full",
        "s",
        T0_US,
        (sequence("CAM_BACK", 180, frames=1), sequence("CAM_FRONT", 0, frames=2)),
        status=status_from_history(history),
        history=history,
        summary=Summary("A bus <image> waits\nat the | stop.", 0.5, Provenance.MEMORY),
        proposals=proposals(3),
        prior=Prior(Plan(path), 0.5),
        command=RouteCommand(Command.LEFT, Provenance.ROUTE, "into Mill Lane", 42.0),
    )


def path_of(speed_mps: float, pairs: list[tuple[float, float]]) -> Plan:
    """A drive by accelerations, and bends as fractions of what 5 m/s2 across allow."""
    accelerations = np.array([a for a, _ in pairs])
    top_mps = max(speed_mps, float((speed_mps + 0.5 * np.cumsum(accelerations)).max()), 1.0)
    bends = np.array([bend for _, bend in pairs]) * min(0.2, 5.0 / top_mps**2)
    xy, yaw, _ = unicycle(
        speed_mps=speed_mps, acceleration_mps2=accelerations, curvature_radpm=bends, dt_s=0.5
    )
    return Plan(xy, yaw_ego_rad=yaw)


def drives(steps: int = 6) -> st.SearchStrategy[Plan]:
    """Drives up to 25 m/s with up to 8 m/s2 of braking and 5 of all else."""
    pair = st.tuples(st.floats(-8, 5), st.floats(-1, 1))
    return st.builds(path_of, st.floats(0, 25), st.lists(pair, min_size=steps, max_size=steps))


@st.composite
def decisions(draw: st.DrawFn, clip: Clip) -> Decision:
    """Any decision about a clip that a format can write."""
    boxes = clip.proposals.boxes if clip.proposals else ()
    verdicts = [Detection(b, draw(st.sampled_from([Verdict.KEPT, Verdict.DROPPED]))) for b in boxes]
    place = st.floats(-990, 990)
    for k in range(draw(st.integers(0, 4))):
        category = draw(st.sampled_from(CATEGORIES))
        box = Box3.typical(category, x_ego_m=draw(place), y_ego_m=draw(place), id=f"a{k + 1}")
        verdicts.append(Detection(box, Verdict.ADDED))
    amount = st.floats(0, 990)
    critical = st.builds(
        CriticalObject,
        st.sampled_from([d.box.id for d in verdicts] or [""]),
        st.sampled_from(LaneRelation),
        amount,
        st.none() | amount,
    )
    return Decision(
        plan=draw(drives()),
        detections=tuple(verdicts),
        critical=tuple(draw(st.lists(critical, max_size=3 if verdicts else 0))),
        signal=draw(st.none() | st.sampled_from(Signal)),
        summary=draw(st.none() | st.text(max_size=300)),
        meta=MetaDecision(draw(st.sampled_from(Longitudinal)), draw(st.sampled_from(Lateral))),
    )
