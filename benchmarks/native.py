"""What one frame of the model that ships takes, stage by stage, beside ``generate`` without caches.

    python benchmarks/native.py [clips]

Bundled scenes, six cameras, the native prompt, a greedy reply under the grammar, one clip at a
time. ``DRIVEVLM_MODEL`` names another model's folder. Naive: the same weights and the same pixels
through transformers' ``generate`` without grammar, encoding every image anew and writing as many
tokens as ours wrote. Both run clip after clip in one process, taking turns; medians in ms.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from typing import Any

import torch

from drivevlm.app import composed
from drivevlm.build.parts import Parts
from drivevlm.build.table import Chosen
from drivevlm.model.storage import load_model
from drivevlm.planner import VLMPlanner, plan_next
from drivevlm.vlm.chat import Chat
from drivevlm.vlm.config import NativeConfig
from drivevlm.vlm.native.conversation import written
from drivevlm.vlm.native.engine import NativeVLM
from drivevlm.world.clip import Clip


def naive_ms(model: Any, chat: Chat, planner: VLMPlanner, clip: Clip, count: int) -> float:
    """One clip through ``generate``: everything anew."""
    request = planner.dialogue.ask(clip)
    begun = time.perf_counter()
    told = written(chat, request)
    inputs = chat.processor(
        text=[told.text],
        images=[[image.image_rgb for image in told.images]],
        rays=[[image.rays for image in told.images]],
        ages_s=[told.ages_s],
        labels=[told.labels],
    )
    inputs.pop("token_type_ids", None)
    model.generate(**inputs, min_new_tokens=count, max_new_tokens=count, do_sample=False)
    return 1e3 * (time.perf_counter() - begun)


def main(clips: int) -> None:
    values, groups = composed(["planner=[vlm]"])
    parts = Parts.of(Chosen.of(values, groups), lambda line: None)
    config = NativeConfig(model=os.environ.get("DRIVEVLM_MODEL", ""))
    vlm = NativeVLM(config)
    loaded: Any = load_model(config.folder, dtype=torch.float32)
    model, chat, planner = loaded[0].eval(), Chat(loaded[1]), parts.asking(vlm)
    stages: dict[str, list[float]] = {}
    ours_ms, naives_ms, replies = [], [], []
    tokens = [token for scene in parts.recording.scenes() for token in scene.tokens][:clips]
    for token in tokens:
        clip = parts.recording.clip(token)
        decision = plan_next(planner, clip)
        for name, spent_ms in decision.timings_ms.items():
            stages.setdefault(name, []).append(spent_ms)
        ours_ms.append(decision.timings_ms["total"])
        replies.append(decision.usage.reply_tokens)
        naives_ms.append(naive_ms(model, chat, planner, clip, replies[-1]))
    vlm.close()
    print(f"{len(tokens)} clips, {torch.get_num_threads()} threads, replies of "
          f"{statistics.median(replies):.0f} tokens")  # fmt: skip
    for name, values_ms in stages.items():
        print(f"  {name:>8} {statistics.median(values_ms):7.1f} ms")
    ours, naive = statistics.median(ours_ms), statistics.median(naives_ms)
    print(f"one frame: {ours:.0f} ms; generate without our caches: {naive:.0f} ms, "
          f"{naive / ours:.2f} times as long")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16)
