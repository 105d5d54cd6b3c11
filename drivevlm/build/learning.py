"""A training, put together from a configuration."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from drivevlm.build.assets import asset_folder
from drivevlm.build.eyes import Eyes, Pixels
from drivevlm.build.learning_settings import Learning
from drivevlm.build.models import placed
from drivevlm.build.table import DATA, Say, open_packed
from drivevlm.build.taught import write_taught
from drivevlm.build.teaching import Known
from drivevlm.build.validation import validation
from drivevlm.data.mirrored import Mirrored
from drivevlm.data.packed import PackedConfig
from drivevlm.data.recording import Recording
from drivevlm.dialogue.blocks import Block, BlockConfig, Switch
from drivevlm.dialogue.control import CODEC_TOKENS
from drivevlm.dialogue.dialogue import Dialogue
from drivevlm.model.adapters import with_adapters
from drivevlm.model.assembly import new_model
from drivevlm.model.config import RANDOM
from drivevlm.model.storage import load_model, save_model
from drivevlm.model.tokenizer import CHAT_TEMPLATE, learned_tokenizer, pretrained_tokenizer
from drivevlm.train.batch import Desk
from drivevlm.train.checkpoint import restore_heads
from drivevlm.train.config import Dropout, EgoNoise, Stage, TrainConfig, TrainError
from drivevlm.train.form import Forms
from drivevlm.train.heads import Heads
from drivevlm.train.lessons import DataSet, Progress
from drivevlm.train.loop import Task
from drivevlm.train.perceiving import Figures, perceived
from drivevlm.train.pupil import Pupil
from drivevlm.train.reframed import Reframed
from drivevlm.train.vocabulary import texts_of
from drivevlm.vlm.chat import Chat
from drivevlm.vlm.loading import quiet

START = "start"
"""Of a run: the model that it began with."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What is needed before any weight is there.

    Attributes:
        learning: The configuration.
        dialogue: The prompt.
        sets: What is learned from.
        val: What it is validated on.
    """

    learning: Learning
    dialogue: Dialogue
    sets: tuple[DataSet, ...]
    val: tuple[Recording, ...]


def prepared(learning: Learning, say: Say, progress: Progress) -> Prepared:
    """Open the data and read the prompt. Raises DataError and PromptError."""
    settings = learning.settings
    name, config = learning.data
    shown = {block.value: getattr(settings.block, block.value).value for block in Block}
    blocks = BlockConfig(**{block: Switch(word) for block, word in shown.items()})
    dialogue = Dialogue.of(learning.prompt, blocks, asset_folder("prompts"))
    recordings = [DATA[name].construct(config, say), *(_packed(path) for path in settings.also)]
    sets = tuple(DataSet.of(each, progress) for each in learned_from(recordings, settings.train))
    for each in sets:
        say(each.told())
    val = tuple(_packed(path) for path in settings.val.paths)
    _check_apart(recordings, val)
    return Prepared(learning, dialogue, sets, val)


def learned_from(recordings: Sequence[Recording], config: TrainConfig) -> list[Recording]:
    """The recordings, and after them what is made of them to learn from too."""
    found = [*recordings, *(map(Mirrored, recordings) if config.mirror else ())]
    whole = tuple(found)
    for turn in range(config.reframed):
        seed = config.seed + turn
        found += [Reframed(recording, config.augment, seed) for recording in whole]
    return found


def _packed(path: str) -> Recording:
    return open_packed(PackedConfig(path=path), lambda line: None)


def _check_apart(learned: Sequence[Recording], val: Sequence[Recording]) -> None:
    """Raises TrainError where a clip is learned from and validated on."""
    for recording in val:
        for other in learned:
            held = _held(recording, other, by_place=False)
            if held and recording.synthetic and other.synthetic:
                # Generated worlds number their scenes alike: it must be in the same places too.
                held = _held(recording, other, by_place=True)
            if held:
                raise TrainError(
                    f"{len(held)} scenes of {recording.name} would be learned from and validated "
                    f"on, e.g. {held[0]}: name other data with val.path= and val.also="
                )


def _held(recording: Recording, other: Recording, *, by_place: bool) -> list[str]:
    known = Known.of(other, by_place=by_place)
    return [scene.name for scene in recording.scenes() if known.holds(recording, scene)]


def task_of(
    ready: Prepared, folder: Path, accelerator: Accelerator, say: Say, progress: Progress
) -> Task:
    """The training itself. Raises ModelError, TrainError, SettingError.

    The folder keeps the model that it begins with, so that it goes on with the same.
    """
    learning = ready.learning
    settings, config = learning.settings, learning.settings.train
    if config.threads:
        torch.set_num_threads(config.threads)
    forms = Forms(ready.dialogue, config)
    model, processor = _start(ready, forms, folder, accelerator, say)
    if config.checkpointing:
        network: Any = model
        network.gradient_checkpointing_enable()
    adapted = learning.model.adapter.rank > 0
    with _seeded(config.seed):
        learns = with_adapters(model, learning.model.adapter) if adapted else model
    pupil = _pupil(learns, learning, model.config.text_config.hidden_size, say)
    chat = Chat(processor)
    desk = Desk(
        ready.sets,
        forms,
        chat,
        config.weights,
        model.config.text_config.max_position_embeddings,
        Pixels(learning.prompt.images, chat),
        encoded=False,
        seed=config.seed,
        percepts=pupil.heads is not None,
    )
    desk.check_longest()  # before hours of looking
    eyes = Eyes(learning, model, chat, accelerator, say, progress)
    desk = eyes.opened(desk)
    return Task(
        config=config,
        stages=settings.stage,
        pupil=pupil,
        learnable=frozenset(n for n, p in pupil.named_parameters() if p.requires_grad),
        desk=desk,
        save_model=partial(_save, learns, processor, ready, adapted=adapted),
        folder=folder,
        accelerator=accelerator,
        validate=validation(
            ready.val,
            forms.whole,
            batch_size=settings.val.batch_size,
            most=config.val_clips,
            seed=config.seed,
            progress=progress,
        )
        if ready.val
        else None,
        perceive=_perceiving(ready, pupil, desk, eyes)
        if ready.val and Stage.PERCEIVE in settings.stage
        else None,
    )


def _start(
    ready: Prepared, forms: Forms, folder: Path, accelerator: Accelerator, say: Say
) -> tuple[Any, Any]:
    """The model that the run began with, and its processor; kept where the run is new."""
    start = folder / START
    if accelerator.is_main_process and not (start / "config.json").is_file():
        model, processor = _begun(ready, forms, say)
        new = folder / f"{START}.new"  # a killed process leaves no half of it under its name
        _save(model, processor, ready, new)
        new.rename(start)
    accelerator.wait_for_everyone()
    with quiet():
        return load_model(start, dtype=torch.float32)


def _perceiving(ready: Prepared, pupil: Pupil, desk: Desk, eyes: Eyes) -> Callable[[], Figures]:
    """Tells what the heads see in what is validated on."""
    config = ready.learning.settings.train
    unseen = tuple(DataSet.of(each, eyes.progress) for each in ready.val)
    for each in unseen:
        eyes.say(f"to validate on: {each.told()}")
    calm = eyes.opened(replace(desk, sets=unseen, forms=Forms(ready.dialogue, _calm(config))))
    return partial(perceived, pupil, calm, batch=config.batch, within=eyes.accelerator.autocast)


def _calm(config: TrainConfig) -> TrainConfig:
    """The same, but that every clip is asked as it is."""
    return replace(
        config,
        dropout=Dropout(0.0, 0.0, 0.0),
        noise=EgoNoise(0.0, 0.0, 0.0, 0.0),
        augment=replace(config.augment, on=False),
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draws fresh weights alike each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _pupil(model: Any, learning: Learning, width: int, say: Say) -> Pupil:
    """The model, and heads where a stage wants to know what is seen."""
    config = learning.settings.train
    if not config.perception and Stage.PERCEIVE not in learning.settings.stage:
        return Pupil(model, None)
    with _seeded(config.seed):
        heads = Heads(width)
    start = learning.settings.start
    if start and restore_heads(heads, Path(start).expanduser()):
        say(f"the heads go on as {start} left them")
    return Pupil(model, heads)


def _begun(ready: Prepared, forms: Forms, say: Say) -> tuple[Any, Any]:
    """The model that a run begins with: from a folder, or new."""
    settings = ready.learning.settings
    if settings.start:
        with quiet():
            return load_model(Path(settings.start).expanduser(), dtype=torch.float32)
    config = placed(ready.learning.model)
    if config.decoder.weights == RANDOM:
        texts = texts_of(ready.sets, forms, seed=settings.train.seed)
        tokenizer = learned_tokenizer(texts, vocabulary=settings.train.vocabulary)
        say(f"a tokenizer of {len(tokenizer)} tokens was learned from the prompts and answers")
    else:
        # A language model that knows words knows them by its own tokenizer.
        tokenizer = pretrained_tokenizer(Path(config.decoder.weights))
    with quiet():
        return new_model(config, tokenizer, codec_tokens=CODEC_TOKENS, chat_template=CHAT_TEMPLATE)


def _save(
    model: Any, processor: Any, ready: Prepared, folder: Path, *, adapted: bool = False
) -> None:
    """The whole model, adapters put into the weights of a copy, and how it was asked."""
    whole = copy.deepcopy(model).merge_and_unload() if adapted else model
    with quiet():
        save_model(whole, processor, folder)
    write_taught(folder, ready.dialogue, ready.learning.settings.train.forms)
