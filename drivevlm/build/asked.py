"""What goes with each model where nothing else is said: words, as typed after ``drivevlm eval``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from drivevlm.build.assets import asset_folder
from drivevlm.build.table import group_defaults

ASKED: Mapping[str, tuple[str, ...]] = {
    "native": (
        "prompt=native",
        "block.scene_summary=off",
        "block.proposals=blank",
        "block.prior=off",
        "data.frames=2",
        "vlm.batch_size=8",
        "run.scenes_in_flight=8",
    ),
}
"""By member of ``vlm``, the prompt first. The model that ships was taught so; no lesson of it had a
proposal. It is so small that eight at once take little longer than one."""
UNTAUGHT = ("prompt=base",)
"""Any other model is told the form of the answer, and everything that is known."""


def default_members() -> dict[str, str]:
    """Of each group, the member that ``configs/settings.yaml`` takes."""
    text = (asset_folder("configs") / "settings.yaml").read_text(encoding="utf-8")
    entries = yaml.safe_load(text)["defaults"]
    return {
        group: member
        for entry in entries
        if isinstance(entry, dict)
        for group, member in entry.items()
    }


def asked_with(words: Sequence[str]) -> list[str]:
    """What goes with the model that the words choose, as far as they leave it open.

    Nothing goes with a prompt that it is not asked with by itself, nor what the data lack.
    """
    given = dict(_parted(words))
    members = {group: given.get(group, name) for group, name in default_members().items()}
    asked = _parted(ASKED.get(members["vlm"], UNTAUGHT))
    (_, prompt), *_ = asked
    if given.get("prompt", prompt) != prompt:
        return []
    of_data = {f"data.{name}" for name in group_defaults()["data"].get(members["data"], ())}
    return [
        f"{key}={value}"
        for key, value in asked
        if key not in given and (key in of_data or not key.startswith("data."))
    ]


def _parted(words: Sequence[str]) -> list[tuple[str, str]]:
    parts = [word.partition("=") for word in words]
    return [(key, value) for key, _, value in parts]
