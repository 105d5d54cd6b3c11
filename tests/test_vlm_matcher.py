"""Laws of grammars: what they admit, what they sample, how a wrong one ends."""

import numpy as np
import pytest

from drivevlm.vlm.matcher import (
    GrammarError,
    admits,
    byte_grammars,
    check_grammar,
    sample_sentences,
)

PLAN = 'start: "PLAN " NUMBER ("," NUMBER)~1..2\nNUMBER: /-?[0-9]{1,2}\\.[0-9]{2}/\n'


def test_every_sampled_sentence_is_admitted_and_the_seed_repeats_it():
    sentences = list(sample_sentences(PLAN, 50, seed=3))
    assert all(admits(PLAN, s) for s in sentences)
    assert len(set(sentences)) > 40
    assert sentences == list(sample_sentences(PLAN, 50, seed=3))
    assert sentences != list(sample_sentences(PLAN, 50, seed=4))


def test_free_text_samples_are_valid_unicode():
    note = 'start: /[^\\n]{0,30}/ "\\n"'
    assert all(admits(note, s) for s in sample_sentences(note, 30, seed=0))


@pytest.mark.parametrize("text", ["", "PLAN ", "PLAN 1.00", "PLAN 1.00,2.00,3.00,4.00", "plan"])
def test_what_is_no_whole_sentence_is_not_admitted(text):
    assert not admits(PLAN, text)


def test_a_wrong_grammar_ends_in_one_clear_line():
    with pytest.raises(GrammarError, match='unknown name: "foo"') as caught:
        check_grammar("start: foo")
    assert "\n" not in str(caught.value)
    with pytest.raises(GrammarError, match="Empty"):
        check_grammar("")


def test_a_sample_without_bound_is_refused():
    with pytest.raises(GrammarError, match="bound"):
        list(sample_sentences("start: /a{100}/", 1, seed=0, longest_bytes=50))


def test_matchers_of_one_grammar_do_not_share_their_place():
    first, second = byte_grammars().matcher(PLAN), byte_grammars().matcher(PLAN)
    assert first.take(ord("P"))
    assert np.flatnonzero(first.allowed()).tolist() == [ord("L")]
    assert np.flatnonzero(second.allowed()).tolist() == [ord("P")]
    assert not second.take(ord("x"))
