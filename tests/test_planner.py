from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import SmallRecording

from drivevlm.dialogue.blocks import BlockConfig
from drivevlm.dialogue.dialogue import Dialogue, PromptConfig
from drivevlm.dialogue.sections import SectionName
from drivevlm.planner import MEMORY_GAP_US, VLMPlanner, plan_next
from drivevlm.vlm.scripted import ScriptedVLM
from drivevlm.vlm.seam import DeadlineError, TextPart, VLMError
from drivevlm.world.camera import Camera, CameraSequence, Frame
from drivevlm.world.sets import FailureKind

PROMPTS = Path(__file__).parents[1] / "prompts"
RECORDING = SmallRecording()
STRAIGHT = "2.00,0.00 4.00,0.00 6.00,0.00 8.00,0.00 10.00,0.00 12.00,0.00"
ANSWER = f"SCENE: none | The road is empty.\nPLAN: {STRAIGHT}"


def planner(script) -> VLMPlanner:
    config = PromptConfig(sections=(SectionName.SCENE, SectionName.PLAN))
    dialogue = Dialogue.of(config, BlockConfig(), PROMPTS)
    return VLMPlanner("vlm", ScriptedVLM(script), dialogue)


def asked(planner: VLMPlanner, number: int) -> str:
    parts = planner.vlm.requests[number].messages[1].parts  # type: ignore[attr-defined]
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def test_an_answer_becomes_a_decision_with_its_request_and_times():
    decision = plan_next(planner([ANSWER]), RECORDING.clip("s0-3"))
    assert decision.plan is not None
    np.testing.assert_allclose(decision.plan.xy_ego_m[:, 0], [2, 4, 6, 8, 10, 12])
    assert decision.summary == "The road is empty."
    assert len(decision.request_digest) == 64
    assert set(decision.timings_ms) >= {"ask", "read", "total"}


def test_the_next_prompt_carries_the_last_plan_moved_and_shifted():
    model = planner([ANSWER, ANSWER])
    for token in ("s0-3", "s0-4"):
        plan_next(model, RECORDING.clip(token))
    # Half a second later we are 2 m further on: the old waypoint at 1.0 s (4 m) lies 2 m ahead.
    assert "0.5: 2.00, 0.00; 1.0: 4.00, 0.00" in asked(model, 1)
    assert "The road is empty." in asked(model, 1)


def test_scenes_do_not_share_a_memory():
    model = planner([ANSWER, ANSWER])
    plan_next(model, RECORDING.clip("s0-3"))
    recalled = model.recall(RECORDING.clip("s1-4"))
    assert recalled.prior is None
    assert recalled.summary is None


def test_who_plans_scenes_one_after_the_other_can_forget_the_earlier_ones():
    model = planner([ANSWER, ANSWER])
    for token in ("s0-3", "s1-3"):
        plan_next(model, RECORDING.clip(token))
    replace(model, deadline_s=1.0).keep_only(RECORDING.clip("s1-4").scene)  # one memory for both
    assert model.recall(RECORDING.clip("s0-4")).summary is None
    assert model.recall(RECORDING.clip("s1-4")).summary is not None


@pytest.mark.parametrize("jump_us", [MEMORY_GAP_US + 500_000, -500_000, 0])
def test_a_gap_or_a_step_back_in_time_clears_the_memory(jump_us):
    model = planner([ANSWER])
    clip = RECORDING.clip("s0-3")
    plan_next(model, clip)
    later = RECORDING.clip("s0-4")
    moved = replace(later, t0_us=clip.t0_us + jump_us, history=None)
    assert model.recall(moved).summary is None
    assert model.recall(later).summary is None  # and it stays cleared


def test_a_failure_clears_what_was_known():
    model = planner([ANSWER, "gibberish"])
    for token in ("s0-3", "s0-4"):
        plan_next(model, RECORDING.clip(token))
    assert model.recall(RECORDING.clip("s0-5")).prior is None


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("gibberish", FailureKind.UNREADABLE),
        (DeadlineError("too late"), FailureKind.DEADLINE),
        (VLMError("the server is gone"), FailureKind.MODEL),
    ],
)
def test_what_goes_wrong_is_a_failure_and_no_exception(reply, kind):
    decision = plan_next(planner([reply]), RECORDING.clip("s0-3"))
    assert decision.failure is not None
    assert decision.failure.kind is kind


def test_a_missing_image_fails_the_planner_that_reads_it(tmp_path):
    frame = Frame(0, (32, 16), tmp_path / "gone.jpg")
    clip = replace(
        RECORDING.clip("s0-3"), cameras=(CameraSequence(Camera("CAM", (32, 16)), (frame,)),)
    )
    decision = plan_next(planner([ANSWER]), clip)
    assert decision.failure is not None
    assert decision.failure.kind is FailureKind.IMAGE
    assert "gone.jpg" in decision.failure.detail
