"""What the verbs of a node share: its parameters from a file and from words, and its end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from drivevlm.build.settings import SettingError
from drivevlm.drive.parameters import ParameterError, flat
from drivevlm.drive.parameters_file import values_from_yaml
from drivevlm.drive.topics import AUTOWARE, Names

DEMO_RIG = (
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_RIGHT",
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_FRONT_LEFT",
)
"""The cameras of the bundled worlds, as ``eval`` shows them: what a node without settings hears."""


def parameter_values(
    config: str, typed: Mapping[str, object], names: Names
) -> Mapping[str, object]:
    """Those of the file, then what was typed; the bundled worlds' rig where there is no file.

    Args:
        config: The file; "" for none.
        typed: Flat or nested.
        names: Whose node it is.

    Raises:
        ParameterError: The file cannot be read, or a name is given twice.
    """
    if not config:
        return {"sync.cameras": list(DEMO_RIG), **flat(typed)}
    path = Path(config).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"config={path} cannot be read: {error}") from None
    return {**values_from_yaml(text, node=names.node_full, where=str(path)), **flat(typed)}


def remapped(words: Sequence[str]) -> dict[str, str]:
    """New names of topics by old ones. Raises SettingError for a word that gives none."""
    found: dict[str, str] = {}
    for word in words:
        old, arrow, new = word.partition(":=")
        if word == "autoware":
            found |= AUTOWARE
        elif not arrow or not old or not new:
            raise SettingError(f"remap takes OLD:=NEW or autoware, got {word!r}")
        else:
            found[old] = new
    return found


def say(console: Console, what: object) -> None:
    """As it is: a path is not wrapped, and no message is read as markup."""
    console.print(str(what), soft_wrap=True, markup=False, highlight=False)


@contextmanager
def stopped() -> Iterator[threading.Event]:
    """An event that Ctrl-C and a polite kill set."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: event.set()) for number in signals]
    try:
        yield event
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
