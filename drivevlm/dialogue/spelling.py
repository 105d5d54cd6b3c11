"""How numbers and free text are spelled in an answer: bounded, ASCII, and in one way only.

Each spelling comes as a regular expression for the grammar, a writer and a strict reader.
"""

from __future__ import annotations

import re
import unicodedata

NONE = "none"
"""Stands where there is nothing to say."""
LARGEST = 1000.0
"""Numbers of an answer, as they are printed, lie below this in any unit."""
LONGEST_TEXT = 200
"""Characters of free text."""

COORDINATE = r"/-?(0|[1-9][0-9]{0,2})\.[0-9]{2}/"
AMOUNT = r"/(0|[1-9][0-9]{0,2})\.[0-9]/"
TEXT = rf"/[!-;=?-Z_a-z][ -;=?-Z_a-z]{{0,{LONGEST_TEXT - 1}}}/"
"""One line of ASCII without ``< > | [ ] { } \\ ^ ` ~``: nothing in it can be taken for a bar of the
format or for a special token of a chat model."""

_COORDINATE = re.compile(COORDINATE[1:-1])
_AMOUNT = re.compile(AMOUNT[1:-1])
_TEXT = re.compile(TEXT[1:-1])
_UNFIT = re.compile(r"[^!-;=?-Z_a-z]+")
_BRACKETS = str.maketrans("<[{>]}|", "((()))/")


class AnswerError(Exception):
    """A reply does not follow the answer format; the message says where."""


def fixed(value: float, digits: int) -> str:
    """A number to so many decimals; never ``-0.0``."""
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def coordinate(value: float) -> str:
    """Two decimals; ValueError where the number does not fit."""
    if not abs(round(value, 2)) < LARGEST:
        raise ValueError(f"{value} does not fit the format, whose numbers are below {LARGEST:g}")
    return fixed(value, 2)


def read_coordinate(text: str, what: str) -> float:
    """A coordinate as the grammar admits it; AnswerError for anything else."""
    if not _COORDINATE.fullmatch(text):
        raise AnswerError(f"{what}: expected a number with two decimals, got {text[:40]!r}")
    return float(text) + 0.0  # -0.00 is 0


def amount(value: float) -> str:
    """One decimal, not negative; ValueError where the number does not fit."""
    if not (value >= 0 and round(value, 1) < LARGEST):
        raise ValueError(f"{value} does not fit the format: expected 0 to {LARGEST:g}")
    return fixed(value, 1)


def read_amount(text: str, what: str) -> float:
    """An amount as the grammar admits it; AnswerError for anything else."""
    if not _AMOUNT.fullmatch(text):
        raise AnswerError(f"{what}: expected a number with one decimal, got {text[:40]!r}")
    return float(text)


def free_text(text: str | None) -> str:
    """Any text as an answer can write it: plain, one line, cut to its bound; ``none`` if empty."""
    ascii_text = unicodedata.normalize("NFKD", text or "").encode("ascii", "ignore").decode()
    plain = _UNFIT.sub(" ", ascii_text.translate(_BRACKETS))
    return " ".join(plain.split())[:LONGEST_TEXT].rstrip() or NONE


def read_free_text(text: str, what: str) -> str | None:
    """A free text, blanks evened out; None where it says ``none``.

    AnswerError for what the grammar refuses.
    """
    if not _TEXT.fullmatch(text):
        raise AnswerError(
            f"{what}: expected plain words of at most {LONGEST_TEXT} characters, got {text[:60]!r}"
        )
    even = " ".join(text.split())
    return None if even == NONE else even


def one_line(text: str) -> str:
    """Foreign words for a prompt: on one line, and free of what marks special tokens."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.translate(_BRACKETS).split())
