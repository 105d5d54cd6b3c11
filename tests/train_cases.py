"""A small training on packed scenes for the tests of ``drivevlm.train``."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path

from accelerate import Accelerator
from looking import Sixteen

from drivevlm.build.assets import asset_folder
from drivevlm.dialogue.blocks import BlockConfig, Switch
from drivevlm.dialogue.config import PromptConfig
from drivevlm.dialogue.control import CODEC_TOKENS
from drivevlm.dialogue.dialogue import Dialogue
from drivevlm.dialogue.pictures import ImageConfig
from drivevlm.model.assembly import new_model
from drivevlm.model.scales import Scales
from drivevlm.model.storage import save_model
from drivevlm.model.tokenizer import CHAT_TEMPLATE, learned_tokenizer
from drivevlm.train.batch import Desk, pixels_of
from drivevlm.train.config import Stage, TrainConfig
from drivevlm.train.form import Forms
from drivevlm.train.lessons import DataSet
from drivevlm.train.loop import Task
from drivevlm.train.pupil import Pupil
from drivevlm.train.vocabulary import texts_of
from drivevlm.vlm.chat import Chat

IMAGES = ImageConfig(width_px=64, frames=1, cameras=("CAM_FRONT",), rays=True)
PLAIN = Scales(None, 0.0)
"""Every word of an answer by itself."""
CONFIG = TrainConfig(steps=30, batch=4, warmup=5, save_every=6, tell_every=1, cached=False)


def native(images: ImageConfig = IMAGES, **switches: Switch) -> Dialogue:
    """The prompt of models that were taught."""
    prompt = PromptConfig("native/native", images=images)
    memory = {"scene_summary": Switch.OFF, "prior": Switch.OFF}
    return Dialogue.of(prompt, BlockConfig(**(memory | switches)), asset_folder("prompts"))


@cache
def data() -> DataSet:
    """Sixteen clips of the bundled scenes."""
    return DataSet.of(Sixteen(), lambda what, done, total: None)


@cache
def begun(**changes):
    """The smallest model, some of its settings changed, and its processor, at the beginning."""
    from model_cases import NANO

    tokenizer = learned_tokenizer(
        texts_of([data()], Forms(native(), CONFIG), seed=0), vocabulary=600
    )
    small = replace(NANO, **changes)
    return new_model(small, tokenizer, codec_tokens=CODEC_TOKENS, chat_template=CHAT_TEMPLATE)


def desk(processor, config: TrainConfig = CONFIG, dialogue: Dialogue | None = None) -> Desk:
    """Prepares lessons from pixels."""
    asked, chat = dialogue or native(), Chat(processor)
    images = asked.config.images
    return Desk(
        sets=(data(),),
        forms=Forms(asked, config),
        chat=chat,
        weights=config.weights,
        context_tokens=4096,
        see=lambda _, lesson: pixels_of(images, chat, lesson),
        encoded=False,
        seed=config.seed,
    )


def task(
    folder: Path, config: TrainConfig = CONFIG, stages=(Stage.SFT,), begin=None, **changes
) -> Task:
    """A training from the beginning, with weights of its own."""
    model, processor = begin or begun()
    learns = deepcopy(model)
    pupil = Pupil(learns, None)
    given = {
        "config": config,
        "stages": stages,
        "pupil": pupil,
        "learnable": frozenset(name for name, _ in pupil.named_parameters()),
        "desk": desk(processor, config),
        "save_model": lambda path: save_model(learns, processor, path),
        "folder": folder,
        "accelerator": Accelerator(cpu=True),
        "validate": None,
    }
    return Task(**(given | changes))


def losses(folder: Path) -> list[float]:
    """Of every step that a run told."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines) if "loss" in line]
