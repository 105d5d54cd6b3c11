"""The verb that trains."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from drivevlm import verbs
from drivevlm.app.settings import TRAIN, composed
from drivevlm.app.verb import Verb
from drivevlm.build.learning_settings import LearnSettings
from drivevlm.build.settings import SettingError

RESUME, STOP = "resume", "train.stop_after"


def _train(words: list[str]) -> int:
    keys = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    if RESUME not in keys:
        values, groups = composed(words, TRAIN)
        print(verbs.train_model(values, groups, Console()))
        return 0
    foreign = [word for word in words if word.partition("=")[0] not in (RESUME, STOP)]
    if foreign:
        raise SettingError(
            f"{foreign[0]}: a resumed training has the configuration that it began with, only "
            f"{STOP} may change"
        )
    values, groups = verbs.recorded_training(Path(keys[RESUME]).expanduser())
    values["train"]["stop_after"] = int(keys.get(STOP) or 0)
    print(verbs.train_model(values, groups, Console()))
    return 0


TRAIN_VERBS = {
    "train": Verb(
        "teach a model of our own from packed data, under the prompts that it will be asked with",
        (
            "drivevlm train data.path=/data/packed out=runs/t1 val.path=/data/packed-val",
            "drivevlm train resume=runs/t1",
            "drivevlm train data.path=/data/packed model=smol stage=[align,sft] train.batch=4",
        ),
        _train,
        own=LearnSettings,
        root=TRAIN,
    ),
}
