"""How a request looks: the exact messages, the images, the tokens of each part."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from drivevlm.report.results import DASH
from drivevlm.vlm.seam import ImagePart, Message, Request, TextPart

Part = TextPart | ImagePart
CountPart = Callable[[Part], int | None]
"""Tokens of a part; None where only the model itself could say."""
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def uncounted(part: Part) -> int | None:
    """Knows no tokens."""
    return None


@dataclass(frozen=True, slots=True)
class PartView:
    """One part of a request.

    Attributes:
        message, role: The message it stands in, from 0, and who speaks.
        part: Itself.
        image: Number of the image, from 0; None for words.
        tokens: Counted; None where unknown.
    """

    message: int
    role: str
    part: Part
    image: int | None
    tokens: int | None


def part_views(request: Request, count: CountPart = uncounted) -> tuple[PartView, ...]:
    """All parts in the order in which the model reads them."""
    return tuple(_parts(request.messages, count))


def _parts(messages: tuple[Message, ...], count: CountPart) -> Iterator[PartView]:
    images = 0
    for k, message in enumerate(messages):
        for part in message.parts:
            is_image = isinstance(part, ImagePart)
            yield PartView(k, message.role.value, part, images if is_image else None, count(part))
            images += is_image


def as_words(request: Request) -> str:
    """The messages as plain text, images by label: what a page shows of a prompt."""
    lines = []
    message = -1
    for view in part_views(request):
        if view.message != message:
            message = view.message
            lines.append(f"[{view.role}]")
        lines.append(_words(view))
    return "\n".join(lines)


def _words(view: PartView) -> str:
    if isinstance(view.part, TextPart):
        return view.part.text
    return f"<image {view.image}: {_image_words(view.part)}>"


def _image_words(image: ImagePart) -> str:
    height, width = image.image_rgb.shape[:2]
    rays = ", with rays" if image.rays is not None else ""
    return f"{image.label!r}, {width} x {height}, {image.stamp_us / 1e6:.6f} s{rays}"


class PromptView:
    """A request in the terminal: nothing is reworded or wrapped, control characters are spelt."""

    def __init__(self, request: Request, count: CountPart = uncounted) -> None:
        self._request = request
        self._count = count

    def print(self, console: Console) -> None:
        """Print it, exactly, at any width."""
        for line in self._lines():
            console.print(line, soft_wrap=True, markup=False, highlight=False)

    def _lines(self) -> Iterator[RenderableType]:
        views = part_views(self._request, self._count)
        message = -1
        for view in views:
            if view.message != message:
                message = view.message
                yield Rule(Text(f"message {message + 1}: {view.role}", style="bold"), align="left")
            yield _part_lines(view)
        yield Rule()
        yield Text(_totals(self._request, views))


def _part_lines(view: PartView) -> RenderableType:
    if isinstance(view.part, ImagePart):
        head = f"image {view.image}: {spelt(_image_words(view.part))} · {_tokens(view.tokens)}"
        return Text(head, style="cyan")
    return Group(Text(f"· text, {_tokens(view.tokens)}", style="dim"), Text(spelt(view.part.text)))


def _tokens(tokens: int | None) -> str:
    return f"{DASH if tokens is None else tokens} tokens"


def _totals(request: Request, views: tuple[PartView, ...]) -> str:
    text = [v.tokens for v in views if v.image is None and v.tokens is not None]
    images = [v for v in views if v.image is not None]
    seen = [v.tokens for v in images if v.tokens is not None]
    unknown = len(images) - len(seen)
    parts = [f"text {_tokens(sum(text) if text else None)}"]
    counted = f"{len(images)} images {_tokens(sum(seen) if seen else None)}"
    parts.append(counted + (f" ({unknown} uncounted)" if seen and unknown else ""))
    parts.append(f"reply at most {request.max_tokens} tokens")
    parts.append(f"grammar {'on' if request.grammar is not None else 'off'}")
    parts.append(f"digest {request.digest[:16]}")
    return " · ".join(parts)


def spelt(text: str) -> str:
    """Control and direction characters written as escapes, so that no terminal obeys them."""
    return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def as_json(request: Request, count: CountPart = uncounted) -> dict[str, object]:
    """The same for machines: ``json.dumps`` takes it; images are listed, not included."""
    views = part_views(request, count)
    return {
        "digest": request.digest,
        "max_tokens": request.max_tokens,
        "samples": request.samples,
        "temperature": request.temperature,
        "seed": request.seed,
        "grammar": request.grammar,
        "messages": [
            {
                "role": message.role.value,
                "parts": [_part_json(view) for view in views if view.message == k],
            }
            for k, message in enumerate(request.messages)
        ],
        "tokens": {
            "text": _sum([v for v in views if v.image is None]),
            "images": _sum([v for v in views if v.image is not None]),
        },
    }


def _sum(views: list[PartView]) -> int | None:
    known = [view.tokens for view in views if view.tokens is not None]
    return sum(known) if len(known) == len(views) else None


def _part_json(view: PartView) -> dict[str, object]:
    if isinstance(view.part, TextPart):
        return {"text": view.part.text, "tokens": view.tokens}
    height, width = view.part.image_rgb.shape[:2]
    return {
        "image": view.image,
        "label": view.part.label,
        "size_px": [width, height],
        "stamp_us": view.part.stamp_us,
        "rays": view.part.rays is not None,
        "tokens": view.tokens,
    }


def write_images(request: Request, folder: Path) -> tuple[Path, ...]:
    """Write the images as the model gets them, ``00_front_left.png`` and so on, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k, image in enumerate(request.images):
        name = re.sub(r"[^a-z0-9]+", "_", image.label.lower()).strip("_")[:60]
        path = folder / f"{k:02d}_{name or 'image'}.png"
        Image.fromarray(image.image_rgb).save(path)
        paths.append(path)
    return tuple(paths)


class BlockTable:
    """The blocks of a prompt: how each is set, its tokens, and where its content comes from.

    Args:
        blocks: By name: setting, tokens of its words (None where it is off), source.
    """

    def __init__(self, blocks: Mapping[str, tuple[str, int | None, str]]) -> None:
        self._blocks = blocks

    def __rich__(self) -> Table:
        """As a table of one row per block."""
        table = Table("block", "setting", "tokens", "source", box=SIMPLE_HEAD, pad_edge=False)
        table.columns[2].justify = "right"
        for name, (setting, tokens, source) in self._blocks.items():
            table.add_row(name, setting, DASH if tokens is None else str(tokens), Text(source))
        return table
