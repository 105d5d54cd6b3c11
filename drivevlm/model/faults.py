"""What transformers says of settings and files that it cannot use, as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from drivevlm.model.config import ModelError

_LONGEST = 300
_FAULTS = (
    AttributeError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Raises ModelError: ``what``, and the reason."""
    try:
        yield
    except _FAULTS as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{what}: {reason[:_LONGEST]}") from error
