"""A nuScenes table that grows on disk, so that memory holds one scene, however large the world."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path


class TableFile:
    """A JSON list, one row a line, closed by ``close``."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._rows = 0

    def write(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Append rows."""
        lines = [json.dumps(row) for row in rows]
        if lines:
            self._file.write(("[\n" if not self._rows else ",\n") + ",\n".join(lines))
            self._rows += len(lines)

    def close(self) -> None:
        """End the list; an empty one is a list too. Closing twice does nothing."""
        if self._file.closed:
            return
        self._file.write("\n]\n" if self._rows else "[]\n")
        self._file.close()
