"""The law of the runtime: a recording that is lived through gets the decisions it gets when read.

What is asked of the model is compared to the last pixel and word, by the requests' digests.
"""

import random
import threading

import pytest
from dialogue_cases import PROMPTS
from drive_cases import DELAY_US, Clock, Ears, bundled, objects_of, relived

from drivevlm.dialogue.blocks import BlockConfig
from drivevlm.dialogue.dialogue import Dialogue, PromptConfig
from drivevlm.dialogue.pictures import ImageConfig
from drivevlm.dialogue.sections import SectionName
from drivevlm.drive.config import DriveConfig, SyncConfig
from drivevlm.drive.runtime import Runtime
from drivevlm.planner import VLMPlanner, plan_next
from drivevlm.vlm.scripted import ScriptedVLM

SCENES = ("scene-2001", "scene-2004")


def answer(request) -> str:
    """Another plan for every request: a prior plan or a summary that differs is seen later on."""
    step_m = 1.0 + int(request.digest[:4], 16) / 65536 * 4
    path = " ".join(f"{k * step_m:.2f},0.00" for k in range(1, 7))
    return f"SCENE: none | Seen {request.digest[:8]}.\nPLAN: {path}"


def planner() -> VLMPlanner:
    config = PromptConfig(
        sections=(SectionName.SCENE, SectionName.PLAN), images=ImageConfig(width_px=64, rays=True)
    )
    return VLMPlanner("vlm", ScriptedVLM(answer), Dialogue.of(config, BlockConfig(), PROMPTS))


@pytest.fixture(scope="module")
def read():
    """Digests and replies, by decision time, of planning the recording's clips in order."""
    recording, model, found = bundled(), planner(), {}
    for scene in recording.scenes():
        if scene.name in SCENES:
            for token in scene.tokens:
                clip = recording.clip(token)
                decision = plan_next(model, clip)
                assert decision.failure is None
                found[clip.t0_us] = decision.request_digest, decision.reply
    return found


def lived(*, lockstep: bool, shuffled: int | None) -> dict[int, tuple[str, str]]:
    recording, clock, ears, decided = bundled(), Clock(), Ears(), threading.Event()
    ears.heard = decided.set
    config = DriveConfig(
        sync=SyncConfig(recording.cameras, frames=2, top_k=8, past_poses=5, max_age_ms=200)
    )
    runtime = Runtime(planner(), ears, config, clock_us=clock, lockstep=lockstep)
    runtime.start()
    order = random.Random(shuffled)
    for scene in SCENES:
        for heard in relived(recording, scene):
            clock.now_us = heard.stamp_us + DELAY_US
            if heard.sample is not None:
                if shuffled is None or heard.stamp_us % 500_000:
                    runtime.on_odometry(heard.sample)
                else:
                    late = heard.sample  # it comes after the images
                continue
            runtime.on_command(heard.command)
            runtime.on_objects(objects_of(heard))
            cameras = list(heard.clip.cameras)
            if shuffled is not None:
                order.shuffle(cameras)
            for sequence in cameras:
                runtime.on_camera(sequence.camera)
                newest = sequence.frames[-1]
                runtime.on_image(sequence.camera.name, newest.stamp_us, newest.encoded)
            if shuffled is not None:
                runtime.on_odometry(late)
            assert decided.wait(10.0), runtime.health.report(clock.now_us)
            decided.clear()
            runtime.on_tick()
    assert runtime.stop()
    return {
        told.stamp_us: (told.decision.request_digest, told.decision.reply)
        for told in ears.reasonings
    }


@pytest.mark.parametrize(
    ("lockstep", "shuffled"),
    [(True, None), (True, 1), (False, 2)],
    ids=["lockstep", "shuffled", "worker"],
)
def test_a_recording_lived_through_gets_the_decisions_it_gets_when_read(read, lockstep, shuffled):
    found = lived(lockstep=lockstep, shuffled=shuffled)
    assert len(read) == 32
    assert found == read
