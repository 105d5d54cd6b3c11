"""Parts of one run, made anywhere, joined into one folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drivevlm.record.manifest import digest_of
from drivevlm.record.published import PUBLISHED, append_published, read_published
from drivevlm.record.run_folder import (
    RecordError,
    RunFolder,
    difference,
    read_manifest,
    read_records,
    write_atomically,
)


def merge_runs(parts: Sequence[Path], out: Path) -> Path:
    """Join the shards ``i/n`` of one run into ``out``; each must be there exactly once.

    Raises RecordError where parts are of different runs, do not divide it, or one is missing.
    """
    manifests = {part: read_manifest(part) for part in parts}
    first = manifests[parts[0]]
    common = _without_shard(first["identity"])
    shards: dict[str, Path] = {}
    for part, manifest in manifests.items():
        mine = _without_shard(manifest["identity"])
        if mine != common:
            raise RecordError(f"{part} is another run than {parts[0]}: {difference(common, mine)}")
        shard = manifest["identity"]["shard"]
        if shard in shards:
            raise RecordError(f"{part} and {shards[shard]} are both part {shard}")
        shards[shard] = part
    counts = {int(shard.split("/")[1]) for shard in shards}
    if len(counts) > 1:
        raise RecordError(f"parts {', '.join(shards)} do not divide one run: their n differs")
    (count,) = counts
    missing = [f"{i}/{count}" for i in range(count) if f"{i}/{count}" not in shards]
    if missing:
        raise RecordError(f"parts {', '.join(missing)} are missing: name all {count} of them")
    identity = {**first["identity"], "shard": "0/1"}
    whole = {
        **first,
        "identity": identity,
        "config_digest": digest_of(identity),
        "starts": [start for part in manifests.values() for start in part.get("starts", [])],
    }
    with RunFolder(out, whole) as run:
        for part in shards.values():
            for record in read_records(part):
                if record.key not in run.records:
                    run.append(record)
        (out / PUBLISHED).unlink(missing_ok=True)
        for published in (plan for part in shards.values() for plan in read_published(part)):
            append_published(out, published)
    write_atomically(out / "parts.json", json.dumps({k: str(v) for k, v in shards.items()}) + "\n")
    return out


def _without_shard(identity: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in identity.items() if key != "shard"}
