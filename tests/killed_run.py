"""A run in a process of its own, to be killed: a scripted model with memory on the small world."""

import json
import sys
from pathlib import Path

from small_world import SmallRecording

from drivevlm.baselines import Baseline, stop
from drivevlm.dialogue.blocks import BlockConfig
from drivevlm.dialogue.dialogue import Dialogue, PromptConfig
from drivevlm.evaluate.plan_run import plan_run
from drivevlm.evaluate.score_run import score_run
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.planner import VLMPlanner
from drivevlm.record.run_folder import RunFolder
from drivevlm.vlm.scripted import ScriptedVLM
from drivevlm.vlm.seam import Request

PROMPTS = Path(__file__).parents[1] / "prompts"


def reply(request: Request) -> str:
    """An answer that depends on every byte of the prompt, so on the memory too."""
    seen = int(request.digest[:8], 16)
    if seen % 7 == 0:
        return "unreadable"
    x_m = [seen % 100 / 10 + 2.0 * k for k in range(6)]
    plan = " ".join(f"{x:.2f},{seen % 13 / 10:.2f}" for x in x_m)
    return (
        f"DETECT: none | none\nSCENE: none | Seen {seen}.\nSPATIAL: none\n"
        f"DECIDE: track_speed / keep_lane\nPLAN: {plan}"
    )


def main(folder: Path, delay_s: float) -> None:
    recording = SmallRecording(count=4, keyframes=30)
    dialogue = Dialogue.of(PromptConfig(), BlockConfig(), PROMPTS)
    planners = [
        VLMPlanner("vlm", ScriptedVLM(reply, delay_s=delay_s), dialogue),
        Baseline("ego_extrapolate"),
    ]
    with RunFolder(folder, {"format": 1, "identity": {"shard": "0/1"}}) as run:
        plan_run(recording, planners, run, scenes_in_flight=3)
        scores = score_run(
            recording,
            run.records,
            scenes=recording.scenes(),
            planners=[planner.name for planner in planners],
            protocols=list(PROTOCOLS.values()),
            fallback=lambda clip: stop(clip, 6, 0.5),
        )
    figures = {name: {**f, "ms": None} for name, f in scores.by_planner.items()}
    print(json.dumps(figures, sort_keys=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
