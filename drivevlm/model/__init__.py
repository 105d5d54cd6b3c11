"""Our own vision-language network: any cameras with their rays and ages, any language model.

It knows tokens, pixels and rays; it knows no road. What is named here wakes torch when it is first
asked for, and from then on the Auto classes of transformers know ``drivevlm``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivevlm.model.architecture import DriveVLMConfig
    from drivevlm.model.network import DriveVLM
    from drivevlm.model.processor import DriveVLMProcessor
    from drivevlm.model.storage import load_model

__all__ = ["DriveVLM", "DriveVLMConfig", "DriveVLMProcessor", "load_model"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("drivevlm.model.storage"), name)
