"""What DDS sees of a message: its true type, and bytes that pass as they are.

DDS compares types when peers meet and checks every payload against the type, so what is announced
must be the true one. The bytes are written and read by the typestore, which takes an image without
looking at each of its bytes.
"""

from __future__ import annotations

import threading
from functools import cache
from types import new_class
from typing import TYPE_CHECKING, Any

from drivevlm.drive.wire.store import typestore

if TYPE_CHECKING:
    from rosbags.interfaces.typing import FieldDesc

_LOCK = threading.RLock()  # cyclonedds keeps global state while a class is made


def shell_of(type_name: str) -> Any:
    """The class of a type's samples. One class per type: DDS knows a type by its class."""
    with _LOCK:
        return _shell_of(type_name)


def user_data(type_name: str) -> bytes:
    """The hash of a type, as ROS peers of Jazzy and later look for it."""
    return f"typehash={typestore().hash_rihs01(type_name)};".encode()


@cache
def _shell_of(type_name: str) -> Any:
    from cyclonedds.idl import IdlStruct

    package, _, name = type_name.split("/")
    fields = {field: _idl(kind) for field, kind in typestore().fielddefs[type_name][1]}

    def fill(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"].update(fields)
        namespace.update(
            __module__=__name__,
            __init__=_hold,
            serialize=_held,
            deserialize=classmethod(_holding),
            deserialize_key=classmethod(_holding),
        )

    # Not type(): it would drop the name of the type in silence, and no peer would match.
    words = {"typename": f"{package}.msg.dds_.{name}_"}
    return new_class(name, (IdlStruct,), words, fill)


def _hold(sample: Any, cdr: bytes) -> None:
    """Make a sample of a message as it is on the wire: a header of four bytes, then CDR."""
    sample.cdr = cdr


def _held(sample: Any, **_: object) -> bytes:
    """What the writer sends."""
    cdr: bytes = sample.cdr
    return cdr


def _holding(shell: type[Any], /, cdr: bytes, **_: object) -> Any:
    """What the reader got; or that a writer left, which is no message."""
    return shell(cdr)


def _idl(kind: FieldDesc) -> Any:
    """A field's type in the words of cyclonedds."""
    from cyclonedds.idl import types
    from rosbags.interfaces import Nodetype

    idl: Any = types
    if kind[0] == Nodetype.NAME:
        return _shell_of(kind[1])
    if kind[0] == Nodetype.BASE:
        base, bound = kind[1]
        if base == "string":
            return idl.bounded_str[bound] if bound else str
        return {"bool": bool, "char": idl.uint8}.get(base) or getattr(idl, base)
    inner, length = kind[1]
    if kind[0] == Nodetype.ARRAY:
        return idl.array[_idl(inner), length]
    return idl.sequence[_idl(inner), length] if length else idl.sequence[_idl(inner)]
