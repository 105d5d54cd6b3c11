"""Our model's vocabulary as llguidance must see it: the codec's tokens are words."""

from __future__ import annotations

from typing import Any

from llguidance import LLTokenizer, TokenizerWrapper
from llguidance.hf import from_tokenizer


def word_tokenizer(tokenizer: Any, end_tokens: frozenset[int]) -> LLTokenizer:
    """llguidance's view of a fast tokenizer of transformers.

    llguidance by itself takes every added token that looks like ``<v3>`` for a control token, which
    no grammar admits and no text shows, whatever the tokenizer says of it: a plan would have to be
    spelled letter by letter. Here only those are control tokens of which the tokenizer says so.
    """
    ends = sorted(end_tokens)
    strict = from_tokenizer(tokenizer, eos_token=ends)
    vocabulary = _Vocabulary(tokenizer, strict, ends[0])
    return LLTokenizer(TokenizerWrapper(vocabulary), eos_token=ends)


class _Vocabulary:
    """What llguidance asks of a tokenizer."""

    bos_token_id = None

    def __init__(self, tokenizer: Any, strict: LLTokenizer, end_token: int) -> None:
        added = tokenizer.added_tokens_decoder
        words = {token for token, said in added.items() if not said.special}
        every = range(strict.vocab_size)
        self._tokenizer = tokenizer
        self.eos_token_id = end_token
        self.tokens = [strict.decode_bytes([token]) for token in every]
        self.special_token_ids = [
            token for token in every if strict.is_special_token(token) and token not in words
        ]

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids
