"""A small vocabulary of one's own: byte-level pairs learned from the very texts, digits single."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from drivevlm.model.faults import one_line

END, PAD = "<|end|>", "<pad>"
TURNS = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_WORDS = r" ?[A-Za-z_]+| ?[^\sA-Za-z_\d]+|\s+"
"""What pairs are merged within: a word with its space, names like ``CAM_FRONT`` whole."""


def learned_tokenizer(texts: Iterable[str], *, vocabulary: int) -> Any:
    """A tokenizer that spells everything, and the given texts in few tokens.

    The same texts in the same order give the same tokenizer.

    Args:
        texts: Prompts and answers; control and codec tokens in them are cut out beforehand.
        vocabulary: Bytes, merged pairs and control tokens together, at most.
    """
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), behavior="isolated"),
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=2,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=[AddedToken(mark, special=True) for mark in (*TURNS, END, PAD)],
            show_progress=False,
        ),
    )
    hf: Any = transformers
    return hf.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=END, pad_token=PAD)


def pretrained_tokenizer(folder: Path) -> Any:
    """The tokenizer of a language model's folder, and the marks of turns, which it may not know.

    An answer ends with ``END``, whatever else the model ended texts with. Raises ModelError.
    """
    hf: Any = transformers
    with one_line(f"{folder} has no tokenizer that loads"):
        tokenizer = hf.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    marks = [AddedToken(mark, special=True, normalized=False) for mark in (*TURNS, END, PAD)]
    tokenizer.add_tokens(marks, special_tokens=True)
    tokenizer.eos_token, tokenizer.pad_token = END, PAD
    return tokenizer
