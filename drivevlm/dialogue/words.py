"""Templates from prompts/: sandboxed, and strict about what they name and leave unused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jinja2 import (
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    meta,
    nodes,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment


class PromptError(Exception):
    """A prompt file is missing or wrong; the message is one clear line."""


def fixed(value: float, digits: int) -> str:
    """A number to so many decimals; never ``-0.0``."""
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


@dataclass(frozen=True, slots=True)
class Template:
    """One prompt file: front matter and body.

    Attributes:
        name: Of the file, without its ending.
        front: The front matter.
        body: The text below it.
    """

    name: str
    front: Mapping[str, Any]
    body: str


@dataclass
class Words:
    """The words of one prompts folder, with its partials in ``parts/``.

    Attributes:
        folder: The prompts folder.
        used: Digest input: every file that was read, by name.
    """

    folder: Path
    used: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(str(self.folder)),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        self._environment.filters["fixed"] = fixed

    def template(self, name: str) -> Template:
        """A prompt by name, or by the path of a user's own file."""
        path = Path(name).expanduser() if name.endswith(".jinja") else self.folder / f"{name}.jinja"
        try:
            text = path.read_text()
        except OSError as error:
            there = ", ".join(sorted(p.stem for p in self.folder.glob("*.jinja")))
            raise PromptError(
                f"prompt {name}: cannot read {path} ({error.strerror}); there are {there}"
            ) from None
        head, mark, body = text.partition("\n---\n")
        if not (mark and head.startswith("---\n")):
            raise PromptError(f"{path} must begin with front matter between two lines of ---")
        try:
            front = yaml.safe_load(head[4:]) or {}
        except yaml.YAMLError as error:
            raise PromptError(f"{path}: the front matter is not YAML ({error})") from None
        self.used[path.name] = text
        return Template(path.stem, front, body.strip())

    def fill(self, source: str, values: Mapping[str, Any], where: str) -> str:
        """Fill a template's text. Missing and unused values are errors, as is any escape."""
        try:
            wanted = self._names(source)
            unused = sorted(set(values) - wanted)
            if unused:
                raise PromptError(f"{where}: the value {unused[0]!r} is given and never used")
            return self._environment.from_string(source).render(values).strip()
        except TemplateError as error:
            line = f", line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
            raise PromptError(f"{where}{line}: {error.message}") from None

    def part(self, name: str, **values: Any) -> str:
        """A filled partial of ``parts/``."""
        path = self.folder / "parts" / f"{name}.jinja"
        try:
            source = path.read_text()
        except OSError as error:
            raise PromptError(f"cannot read the partial {path} ({error.strerror})") from None
        self.used[f"parts/{path.name}"] = source
        return self.fill(source, values, f"prompts/parts/{name}.jinja")

    def digest(self) -> str:
        """SHA-256 over the files read so far."""
        return hashlib.sha256(repr(sorted(self.used.items())).encode()).hexdigest()

    def _names(self, source: str) -> set[str]:
        """Every value that a template or the files it includes may ask for."""
        tree = self._environment.parse(source)
        names = set(meta.find_undeclared_variables(tree))
        for include in tree.find_all(nodes.Include):
            target = include.template
            if not isinstance(target, nodes.Const):
                raise PromptError("an include must name its file in plain words")
            text, *_ = self._environment.loader.get_source(self._environment, target.value)  # type: ignore[union-attr]
            self.used[target.value] = text
            names |= self._names(text)
        return names
