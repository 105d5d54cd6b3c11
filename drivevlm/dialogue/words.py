"""Templates from prompts/: sandboxed, and strict about what they name and leave unused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import DictLoader, StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from drivevlm.dialogue.spelling import fixed

_FAULTS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError)
"""What a template's own code can raise while it is filled."""


class PromptError(Exception):
    """A prompt file is missing or wrong; the message is one clear line."""


@dataclass(frozen=True)
class Words:
    """The partials that a prompt is put together from, each read once.

    Attributes:
        parts: Source of ``parts/NAME.jinja`` by that name.
    """

    parts: Mapping[str, str]
    _filled: dict[str, tuple[jinja2.Template, frozenset[str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def _environment(self) -> ImmutableSandboxedEnvironment:
        environment = ImmutableSandboxedEnvironment(
            loader=DictLoader(dict(self.parts)),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["fixed"] = fixed
        return environment

    @classmethod
    def of(cls, *folders: Path) -> Words:
        """The partials of these folders; of two with one name the later folder's is taken."""
        parts = {}
        for folder in folders:
            for path in sorted((folder / "parts").glob("*.jinja")):
                parts[f"parts/{path.name}"] = read_text(path)
        return cls(parts)

    def fill(self, sources: Sequence[str], values: Mapping[str, Any], where: str) -> list[str]:
        """Fill the texts of one template that has several parts.

        Raises PromptError where it names a value that is not given, leaves one unused, reaches
        for an attribute that the sandbox forbids, or fails in its own code.
        """
        try:
            compiled = [self._compiled(source) for source in sources]
            unused = sorted(set(values).difference(*(names for _, names in compiled)))
            if unused:
                raise PromptError(f"{where}: the value {unused[0]!r} is given and never used")
            return [template.render(values).strip() for template, _ in compiled]
        except _FAULTS as error:
            line = f", line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
            said = " ".join(str(error).split())
            known = f"; there are {', '.join(values)}" if said.endswith("is undefined") else ""
            raise PromptError(f"{where}{line}: {said}{known}") from None

    def part(self, name: str, **values: Any) -> str:
        """A filled partial."""
        source = self.parts.get(f"parts/{name}.jinja")
        if source is None:
            raise PromptError(f"there is no parts/{name}.jinja among {sorted(self.parts)}")
        return self.fill([source], values, f"parts/{name}.jinja")[0]

    @property
    def digest(self) -> str:
        """SHA-256 over all partials."""
        return hashlib.sha256(repr(sorted(self.parts.items())).encode()).hexdigest()

    def _compiled(self, source: str) -> tuple[jinja2.Template, frozenset[str]]:
        """A template and every value that it, or a partial it includes, names."""
        if source not in self._filled:
            tree = self._environment.parse(source)
            names = set(meta.find_undeclared_variables(tree))
            for included in meta.find_referenced_templates(tree):
                if included is None:
                    raise TemplateError("an include must name its file in plain words")
                if included not in self.parts:
                    raise TemplateError(f"there is no {included} among {sorted(self.parts)}")
                names |= self._compiled(self.parts[included])[1]
            self._filled[source] = self._environment.from_string(source), frozenset(names)
        return self._filled[source]


def read_text(path: Path) -> str:
    """A text file, or PromptError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: cannot be read as text ({error})") from None
