"""What a grammar lets a model write: compiled by llguidance, asked token by token."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

_KEPT_GRAMMARS = 64


class GrammarError(ValueError):
    """A grammar that llguidance cannot compile: a fault of whoever wrote it, not of the model."""


class Grammars:
    """The grammars of one tokenizer, each compiled once."""

    def __init__(self, tokenizer: LLTokenizer) -> None:
        self.tokenizer = tokenizer
        self._compiled = lru_cache(maxsize=_KEPT_GRAMMARS)(self._compile)

    def matcher(self, grammar: str) -> Matcher:
        """A fresh matcher at the start of a Lark grammar. Raises GrammarError."""
        return Matcher(self._compiled(grammar).deep_copy(), self.tokenizer.vocab_size)

    def _compile(self, grammar: str) -> LLMatcher:
        lark = LLMatcher.grammar_from_lark(grammar)
        wrong, messages = LLMatcher.validate_grammar_with_warnings(lark, self.tokenizer)
        compiled = None if wrong else LLMatcher(self.tokenizer, lark, log_level=0)
        if compiled is None or compiled.is_error():
            said = messages[0] if compiled is None else compiled.get_error()
            raise GrammarError(f"the grammar does not compile: {' '.join(said.split())}")
        return compiled


class Matcher:
    """Where one reply stands in its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    def allowed(self) -> NDArray[np.bool_]:
        """(V,) which tokens may come next; the end token where the reply may end here."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(bits, count=self._vocabulary, bitorder="little")
        return allowed.astype(np.bool_)

    def take(self, token: int) -> bool:
        """Go on by one token; False where the grammar does not allow it."""
        return bool(self._matcher.consume_token(token))

    @property
    def complete(self) -> bool:
        """What was taken is a sentence of the grammar; it may be that more can follow."""
        return bool(self._matcher.is_accepting())

    @property
    def ended(self) -> bool:
        """Nothing can follow."""
        return bool(self._matcher.is_stopped())

    @property
    def error(self) -> str:
        """What went wrong in one line (a limit of the parser was hit, say); empty if nothing."""
        lines = self._matcher.get_error().strip().splitlines() if self._matcher.is_error() else []
        return lines[0] if lines else ""


class _Bytes:
    """The smallest tokenizer that spells everything: one token a byte, and an end token."""

    eos_token_id = 256
    bos_token_id = None
    tokens = (*(bytes([b]) for b in range(256)), b"<end>")
    special_token_ids = (256,)

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


@lru_cache(maxsize=1)
def byte_grammars() -> Grammars:
    """Grammars without any model: over bytes, token 256 is the end."""
    return Grammars(LLTokenizer(TokenizerWrapper(_Bytes())))


def check_grammar(grammar: str) -> None:
    """Raise GrammarError, one line, where a Lark grammar does not compile."""
    byte_grammars().matcher(grammar)


def admits(grammar: str, text: str) -> bool:
    """Whether a text is a sentence of the grammar, as a whole."""
    matcher = byte_grammars().matcher(grammar)
    return all(matcher.take(byte) for byte in text.encode()) and matcher.complete


def sample_sentences(
    grammar: str, count: int, *, seed: int, longest_bytes: int = 20_000
) -> Iterator[str]:
    """Random sentences of a grammar, each byte drawn evenly from what is allowed.

    Raises GrammarError where the grammar does not compile or a sentence passes ``longest_bytes``.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        matcher = byte_grammars().matcher(grammar)
        written = bytearray()
        while not matcher.ended:
            token = int(rng.choice(np.flatnonzero(matcher.allowed())))
            if token == _Bytes.eos_token_id:
                break
            if not matcher.take(token) or len(written) >= longest_bytes:
                raise GrammarError(
                    f"no end after {len(written)} bytes: {matcher.error or 'bound its free text'}"
                )
            written.append(token)
        yield written.decode()
