"""The whole of a training: stage after stage, step after step, to be broken off at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset

from drivevlm.model.scales import Scales
from drivevlm.train.batch import Batch, Desk
from drivevlm.train.checkpoint import (
    found_checkpoint,
    read_position,
    restore,
    write_checkpoint,
    write_position,
)
from drivevlm.train.config import Stage, TrainConfig, TrainError
from drivevlm.train.learner import Learner, NotFiniteError
from drivevlm.train.lessons import Course, Place
from drivevlm.train.pupil import Pupil
from drivevlm.train.watch import Watch

LAST, BEST = "last", "best"


@dataclass(frozen=True, slots=True)
class Validated:
    """What a validation found.

    Attributes:
        figures: By name.
        score: The higher the better: which checkpoint is the best.
    """

    figures: Mapping[str, float | None]
    score: float


Validate = Callable[[Path], Validated]
"""Lets the model of a folder plan."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A training, ready to go.

    Attributes:
        config: How.
        stages: One after another.
        pupil: The model, adapters and all, at its beginning.
        learnable: Names of its parameters that may learn at all.
        desk: Prepares lessons.
        save_model: Writes the model, adapters merged, into a folder.
        folder: Of the run.
        accelerator: Of the processes.
        validate: Where a stage teaches answers; None where there is nothing to validate on.
        perceive: The same where it only teaches to see.
    """

    config: TrainConfig
    stages: tuple[Stage, ...]
    pupil: Pupil
    learnable: frozenset[str]
    desk: Desk
    save_model: Callable[[Path], None]
    folder: Path
    accelerator: Accelerator
    validate: Validate | None
    perceive: Callable[[], Mapping[str, float | None]] | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a training stands.

    Attributes:
        stage: Counted from 0.
        step: Steps done in it.
        best: Score of the best checkpoint; None before the first validation.
        skipped: Clips that were left out on the way, since they could not be read or were too long.
        judged: The step of it after which it was validated last.
    """

    stage: int = 0
    step: int = 0
    best: float | None = None
    skipped: int = 0
    judged: int = 0


def train(task: Task, watch: Watch) -> Position:
    """Go on from the last checkpoint, or begin; returns where it ended.

    Raises TrainError where it cannot go on.
    """
    task.folder.mkdir(parents=True, exist_ok=True)
    found = found_checkpoint(task.folder / LAST)
    position = Position() if found is None else Position(**read_position(found))
    watch.resume(position.stage, position.step, position.judged)
    for number in range(position.stage, len(task.stages)):
        run = _Stage(task, watch, number)
        # The first of the resumed stages takes its weights from the checkpoint. Any other goes on
        # with the model of the stage before.
        if found is not None and number == position.stage:
            restore(run.learner, found)
        if number > position.stage:
            position = replace(position, stage=number, step=0, judged=0)
        position = run.go(position)
        if position.step < task.config.steps:
            break
    return position


class _Stage:
    """One stage of a training."""

    def __init__(self, task: Task, watch: Watch, number: int) -> None:
        self.task, self.watch, self.number = task, watch, number
        self.stage = task.stages[number]
        self.learned, self.faults = 0, dict[str, str]()
        scales = Scales(task.desk.chat.tokenizer, task.config.spread_bins)
        self.learner = Learner(
            task.pupil, task.config, self.stage, task.accelerator, task.learnable, scales
        )

    def go(self, position: Position) -> Position:
        """Take the steps that are left, up to ``stop_after``."""
        config = self.task.config
        until = min(config.steps, config.stop_after or config.steps)
        if position.step > position.judged and self._validates(position.step, until):
            self._save(position)  # a killed exchange may have left it under another name
            position = self._judge(position)  # which was broken off
        began, waited_s = position.step, time.monotonic()
        for batches in self._batches(position.step, until):
            position = self._learn(batches, position, data_s=time.monotonic() - waited_s)
            position = self._pause(position, until)
            waited_s = time.monotonic()
        if position.step and not (began or self.learned):
            raise TrainError(
                f"stage {self.stage.value}: no clip could be learned from; "
                + "; ".join(f"{token}: {why}" for token, why in list(self.faults.items())[:1])
            )
        return position

    def _learn(self, batches: Sequence[Batch], position: Position, *, data_s: float) -> Position:
        """One step, and what is to be told of it."""
        began_s = time.monotonic()
        try:
            learned = self.learner.step(batches, position.step)
        except NotFiniteError as error:
            raise self._kept(error) from None
        step_s = time.monotonic() - began_s
        faults = {token: why for batch in batches for token, why in batch.faults.items()}
        skipped = position.skipped + len(faults)
        position = replace(position, step=position.step + 1, skipped=skipped)
        self.faults |= faults
        for token, why in faults.items():
            self.watch.line(self._where(position) | {"skipped": token, "why": why})
        if learned is not None:
            self.learned += 1
            self.watch.learned(self._where(position), learned, data_s=data_s, step_s=step_s)
        return position

    def _validates(self, step: int, until: int) -> bool:
        """Whether that is due after a step."""
        every = self.task.config.val_every
        due = step == until or (bool(every) and step % every == 0)
        return due and (self.task.perceive if self._sees else self.task.validate) is not None

    @property
    def _sees(self) -> bool:
        """Whether nobody is taught to answer."""
        return self.stage is Stage.PERCEIVE

    def _pause(self, position: Position, until: int) -> Position:
        """Validate and save where it is time to."""
        step, validates = position.step, self._validates(position.step, until)
        if step == until or validates or step % self.task.config.save_every == 0:
            self._save(position)
        return self._judge(position) if validates else position

    def _judge(self, position: Position) -> Position:
        """Validate what is saved; who is killed meanwhile validates it when it goes on.

        What is only seen makes no checkpoint the best, since no plan was judged.
        """
        task = self.task
        position = replace(position, judged=position.step)
        if task.accelerator.is_main_process:
            began_s, score = time.monotonic(), None
            if self._sees:
                assert task.perceive is not None
                figures = dict(task.perceive())
            else:
                assert task.validate is not None
                found = task.validate(task.folder / LAST)
                figures, score = dict(found.figures), found.score
            spent_s = time.monotonic() - began_s
            self.watch.line(self._where(position) | {"validation": figures, "seconds": spent_s})
            if score is not None and (position.best is None or score > position.best):
                position = replace(position, best=score)
                self._write(BEST, position)
            write_position(task.folder / LAST, asdict(position))
        task.accelerator.wait_for_everyone()
        return position

    def _save(self, position: Position) -> None:
        """Once, by the first process."""
        self.task.accelerator.wait_for_everyone()
        if self.task.accelerator.is_main_process:
            self._write(LAST, position)
        self.task.accelerator.wait_for_everyone()

    def _write(self, name: str, position: Position) -> None:
        learner = self.learner if name == LAST else None
        write_checkpoint(self.task.folder / name, self.task.save_model, asdict(position), learner)

    def _kept(self, error: NotFiniteError) -> NotFiniteError:
        """The same error, its batch on disk."""
        from safetensors.torch import save_file

        file = self.task.folder / "not-finite.safetensors"
        save_file(
            {
                f"{k}.{name}": getattr(batch, name).contiguous()
                for k, batch in enumerate(error.batches)
                for name in ("input_ids", "targets", "weights")
            },
            file,
            metadata={f"{k}.clips": " ".join(b.clips) for k, b in enumerate(error.batches)},
        )
        return NotFiniteError(
            f"{error}; its lessons are in {file}, and {self.task.folder / LAST} is from before: "
            "lower train.rates or train.clip and resume",
            error.batches,
        )

    def _where(self, position: Position) -> dict[str, Any]:
        return {
            "stage_number": self.number,
            "stage": self.stage.value,
            "step": position.step,
            "steps": self.task.config.steps,
        }

    def _batches(self, first: int, until: int) -> Iterator[list[Batch]]:
        """The batches of each step, of this process."""
        config, accelerator = self.task.config, self.task.accelerator
        each, processes = config.accumulate, accelerator.num_processes
        course = Course(
            self.task.desk.sets,
            config.shares,
            clips=config.steps * each * processes * config.batch,
            seed=config.seed + self.number,
        )
        places = list(course.batches(config.batch))
        mine = places[first * each * processes + accelerator.process_index :: processes]
        loader = DataLoader(
            _Lessons(
                self.task.desk,
                mine[: max(0, until - first) * each],
                self.stage is not Stage.PERCEIVE,
            ),
            batch_size=None,
            shuffle=False,
            num_workers=config.workers,
            prefetch_factor=2 if config.workers else None,
        )
        step: list[Batch] = []
        for batch in loader:
            step.append(batch)
            if len(step) == each:
                yield step
                step = []


class _Lessons(Dataset[Batch]):
    def __init__(self, desk: Desk, places: Sequence[tuple[Place, ...]], answers: bool) -> None:
        self._desk, self._places, self._answers = desk, places, answers

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Batch:
        return self._desk.batch(self._places[index], answers=self._answers)
