"""How many decisions failed, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from drivevlm.world.decision import Decision


def failure_counts(decisions: Sequence[Decision]) -> dict[str, Any]:
    """``total``, ``failed``, and ``by_kind`` with the kinds that occurred, the commonest first."""
    kinds = Counter(d.failure.kind.value for d in decisions if d.failure is not None)
    by_kind = dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))
    return {"total": len(decisions), "failed": kinds.total(), "by_kind": by_kind}
