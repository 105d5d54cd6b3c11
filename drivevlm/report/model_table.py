"""What a model costs, as tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from drivevlm.model.description import Description
from drivevlm.report.score_grid import plain_table


class ModelTable:
    """Parameters, stages from pixels to a reply, memory, and what was assumed."""

    def __init__(self, description: Description) -> None:
        self._told = description

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        told = self._told
        yield Text(f"{told.encoder} + {told.decoder}, {told.vocabulary} tokens", style="bold")
        yield ""
        yield _parts(told)
        yield ""
        yield _images(told)
        yield ""
        yield _stages(told)
        yield ""
        yield _memory(told)
        yield ""
        for line in _remarks(told):
            yield Text(line, style="dim")


def _parts(told: Description) -> Table:
    table = _table("part", "parameters", "trained", "frozen", "fp32 MB", "bf16 MB")
    rows = [(part.name, part.parameters, part.trained) for part in told.parts]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    for name, count, trained in rows:
        if name == "all":
            table.add_section()
        cells = (count, trained, count - trained)
        table.add_row(name, *(f"{n:,}" for n in cells), _mb(4 * count), _mb(2 * count))
    return table


def _images(told: Description) -> Table:
    """Images that take the same grid of tokens share a row."""
    table = _table("images", "grid", "tokens", "together")
    alike: dict[tuple[int, int], list[str]] = {}
    for image in told.images:
        alike.setdefault((image.rows, image.columns), []).append(image.label)
    for (rows, columns), labels in alike.items():
        tokens = rows * columns
        numbers = (f"{rows} x {columns}", str(tokens), f"{len(labels) * tokens:,}")
        table.add_row(", ".join(labels), *numbers)
    table.add_section()
    table.add_row("all", "", "", f"{told.visual_tokens:,}")
    return table


def _stages(told: Description) -> Table:
    table = _table("stage", "for", "GFLOP", "ms (estimate)")
    for stage in told.stages:
        row = (f"{stage.count:,} {stage.unit}", f"{stage.flops / 1e9:,.2f}", f"{stage.ms:,.1f}")
        table.add_row(stage.name, *row)
    flops, ms = (sum(getattr(s, name) for s in told.stages) for name in ("flops", "ms"))
    table.add_section()
    table.add_row("all", "one clip", f"{flops / 1e9:,.2f}", f"{ms:,.1f}")
    return table


def _memory(told: Description) -> Table:
    table, memory = _table("memory", "fp32 MB", "bf16 MB"), told.memory
    table.add_row("weights", _mb(memory.weights_fp32), _mb(memory.weights_bf16))
    cache = f"keys and values of {told.context_tokens:,} tokens"
    table.add_row(cache, _mb(memory.cache_fp32), _mb(memory.cache_bf16))
    table.add_row("training: weights, gradients, AdamW (estimate)", _mb(memory.training), "")
    table.add_row("training: activations of a sample (estimate)", _mb(memory.activations), "")
    return table


def _remarks(told: Description) -> Iterator[str]:
    asked = told.workload
    yield (
        f"Assumed: images of {asked.width_px} x {asked.height_px}, {asked.prompt_tokens} prompt "
        f"tokens, {asked.reply_tokens} reply tokens; with images {told.context_tokens:,} of "
        f"{told.most_context_tokens:,} tokens of context."
    )
    if told.context_tokens > told.most_context_tokens:
        yield "THIS IS MORE than the language model can hold."
    yield (
        f"Times are estimates: all at {asked.gflops:g} GFLOP/s in fp32, and for each token written "
        f"the weights and the cache are read at {asked.memory_gb_s:g} GB/s. Small layers and "
        "depthwise convolutions are slower than that, large matrix products can be faster."
    )


def _table(first: str, *heads: str) -> Table:
    table = plain_table()
    table.add_column(first, overflow="fold")
    for head in heads:
        table.add_column(head, justify="right", overflow="fold")
    return table


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f}"
