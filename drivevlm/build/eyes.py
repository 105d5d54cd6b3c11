"""Who looks at a training's pictures: the encoder each time, or once for all where it rests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from platformdirs import user_cache_path
from torch import Tensor

from drivevlm.build.learning_settings import Learning
from drivevlm.build.table import Say
from drivevlm.dialogue.pictures import ImageConfig
from drivevlm.train.batch import Desk, pixels_of
from drivevlm.train.learner import rates_of
from drivevlm.train.lesson import Lesson
from drivevlm.train.lessons import Progress
from drivevlm.train.views import Views
from drivevlm.vlm.chat import Chat

Looked = list[tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, slots=True, eq=False)
class Eyes:
    """A training's model as one that looks.

    Attributes:
        learning: The configuration.
        model: Whose encoder looks.
        chat: Of the model.
        accelerator: Of the processes.
        say, progress: Are told of clips that cannot be looked at, and of every clip.
    """

    learning: Learning
    model: Any
    chat: Chat
    accelerator: Accelerator
    say: Say
    progress: Progress

    def opened(self, desk: Desk) -> Desk:
        """The same desk, its pictures looked at; without clips that cannot be, if that is known."""
        settings, images = self.learning.settings, self.learning.prompt.images
        rests = all(
            rates_of(stage, settings.train.rates)["encoder"] == 0 for stage in settings.stage
        )
        if not (settings.train.cached and rests):
            return replace(desk, see=Pixels(images, self.chat), encoded=False)
        if settings.train.dropout.camera:
            # Where the first camera drops out, another's older pictures are sent in its place.
            images = replace(images, past_cameras=0)
        cache = Path(settings.cache).expanduser() if settings.cache else user_cache_path("drivevlm")
        by = (images, self.model, self.chat.processor, settings.train.precision)
        views: list[Views] = []
        for each in desk.sets:
            if self.accelerator.is_main_process:
                Views(cache / "train", each.recording, *by).prepare(each.tokens, self.progress)
            self.accelerator.wait_for_everyone()
            views.append(Views(cache / "train", each.recording, *by))
        seen = tuple(each.without(v.faults) for each, v in zip(desk.sets, views, strict=True))
        for each, v in zip(seen, views, strict=True):
            if v.faults:
                self.say(each.told())
        return replace(desk, sets=seen, see=Features(views), encoded=True)


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Looks at the pictures themselves."""

    images: ImageConfig
    chat: Chat

    def __call__(self, data: int, lesson: Lesson) -> Looked:
        """Pixels and rays of each picture."""
        return pixels_of(self.images, self.chat, lesson)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Looks up what the frozen encoder gave."""

    views: Sequence[Views]

    def __call__(self, data: int, lesson: Lesson) -> Looked:
        """Features and rays of each picture."""
        return [
            (torch.tensor(features), None if rays is None else torch.tensor(rays).float())
            for features, rays in self.views[data].of(lesson.token, lesson.pictures)
        ]
