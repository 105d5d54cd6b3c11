"""Teaches a model of our own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from drivevlm.build.learning_settings import Learning
from drivevlm.build.settings import SettingError
from drivevlm.build.table import DATA
from drivevlm.record.manifest import manifest
from drivevlm.record.run_folder import write_atomically
from drivevlm.report.curves import write_curves
from drivevlm.train.config import TrainError
from drivevlm.verbs.progress import bars

CONFIG, MANIFEST = "train.yaml", "train.json"


def train_model(values: Mapping[str, Any], groups: Mapping[str, str], console: Console) -> Path:
    """Train as configured; returns the run's folder. An interrupted run goes on with ``resume``."""
    # All that follows wakes torch: whoever only mistyped a setting need not wait for it.
    learning = Learning.of(values, groups, DATA[groups["data"]].settings)
    from accelerate import Accelerator
    from safetensors import SafetensorError

    from drivevlm.build.learning import prepared, task_of
    from drivevlm.train.loop import train
    from drivevlm.train.watch import METRICS, Watch

    config = learning.settings.train
    accelerator = Accelerator(mixed_precision=_mixed(config.precision))
    first = accelerator.is_main_process
    now = datetime.now()
    out = Path(learning.settings.out).expanduser() if learning.settings.out else _new_folder(now)

    def say(line: str) -> None:
        if first:
            console.print(line, soft_wrap=True, markup=False)

    with ExitStack() as stack:
        report = stack.enter_context(bars(console)) if first else _unseen
        ready = prepared(learning, say, report)
        if first:
            _keep(out, values, groups, ready.dialogue.digest, now)
        accelerator.wait_for_everyone()

        def tell(line: Mapping[str, Any]) -> None:
            report(f"{line['stage']} steps", line["step"], line["steps"])
            say(_words(line))
            if "validation" in line:
                write_curves(out / METRICS, out / "curves.png")

        watch = Watch(out if first else None, tell if first else _nothing, config.tell_every)
        try:
            train(task_of(ready, out, accelerator, say, report), watch)
        except (OSError, SafetensorError) as error:
            raise TrainError(
                f"{out} cannot go on: {error}; what it saved is whole: drivevlm train resume={out}"
            ) from error
        except KeyboardInterrupt:
            say(f"{out} is not finished: drivevlm train resume={out} goes on")
            raise
    if first:
        write_curves(out / METRICS, out / "curves.png")
        say(f"plan with it: drivevlm eval vlm=native vlm.model={out / 'last'} prompt=native")
    return out


def recorded_training(run: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The configuration that a run was begun with. Raises SettingError where it is none."""
    file = run / CONFIG
    if not file.is_file():
        raise SettingError(f"resume={run}: expected a folder that drivevlm train wrote, {CONFIG}")
    kept = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {**kept["values"], "out": str(run)}, kept["groups"]


def _keep(
    out: Path, values: Mapping[str, Any], groups: Mapping[str, str], prompt: str, now: datetime
) -> None:
    """What the run is: so that it can go on, and so that a figure can be told from where it is."""
    out.mkdir(parents=True, exist_ok=True)
    kept = {"groups": dict(groups), "values": {**values, "out": str(out)}}
    text = yaml.safe_dump(kept, sort_keys=False)
    if (out / CONFIG).is_file() and _lasting((out / CONFIG).read_text()) != _lasting(text):
        raise SettingError(
            f"{out} holds another training: go on with resume={out}, or name another folder"
        )
    write_atomically(out / CONFIG, text)
    import json

    facts = manifest(identity={"prompt": prompt, **kept}, now=now, command=sys.argv)
    if (out / MANIFEST).is_file():
        before = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        facts["starts"] = [*before["starts"], *facts["starts"]]
    write_atomically(out / MANIFEST, json.dumps(facts, indent=1) + "\n")


def _lasting(text: str) -> Any:
    """All but what a resumed run may change."""
    kept = yaml.safe_load(text)
    kept["values"]["train"].pop("stop_after")
    return kept


def _words(line: Mapping[str, Any]) -> str:
    head = f"{line['stage']} {line['step']}/{line['steps']}"
    if "skipped" in line:
        return f"{head}: left out clip {line['skipped']}: {line['why']}"
    if "validation" in line:
        figures = ", ".join(f"{name} {_shown(value)}" for name, value in line["validation"].items())
        return f"{head}: {figures} ({line['seconds']:.0f} s)"
    sections = " ".join(f"{name} {value:.3f}" for name, value in line["sections"].items())
    return (
        f"{head}: loss {line['loss']:.4f} ({sections}), gradient {line['gradient']:.2f}, "
        f"{line['clips_per_s']:.1f} clips/s, {line['data_share']:.0%} of the time waiting for data"
    )


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _mixed(precision: str) -> str:
    return "bf16" if precision == "bfloat16" else "no"


def _new_folder(now: datetime) -> Path:
    wanted = Path(now.strftime("runs/train-%Y-%m-%d-%H-%M-%S"))
    later = (wanted.with_name(f"{wanted.name}-{k}") for k in count(2))
    return wanted if not wanted.exists() else next(path for path in later if not path.exists())


def _unseen(what: str, done: int, total: int) -> None:
    """Shows no bar."""


def _nothing(line: Mapping[str, Any]) -> None:
    """Tells nobody."""
