"""What is prepared once: later runs read it, and nothing that changed is ever taken from it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from small_world import SmallRecording

from drivevlm.baselines import MOTIONS
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.evaluate.prepared import Prepared, prepared, source_files
from drivevlm.metrics.planning import PlanStack
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.world.plan import Plan
from drivevlm.world.truth import Truth

CHOSEN = [PROTOCOLS[name] for name in ("uniad", "vad", "exact", "sparsedrive")]


@dataclass
class Counting(SmallRecording):
    """Counts how often a truth is read."""

    reads: list[str] = field(default_factory=list)

    def truth(self, token: str) -> Truth:
        self.reads.append(token)
        return super().truth(token)


def tokens_of(recording: SmallRecording) -> list[str]:
    return [token for scene in recording.scenes() for token in scene.tokens]


def ready(recording: SmallRecording, cache: Path | None) -> Prepared:
    return prepared(recording, tokens_of(recording), CHOSEN, cache=cache)


def test_a_second_run_reads_no_truth_and_scores_the_same(tmp_path: Path):
    first, second = Counting(), Counting()
    made, read = ready(first, tmp_path), ready(second, tmp_path)
    assert first.reads
    assert not second.reads
    assert {name: set(t) for name, t in made.splits.items()} == {
        name: set(t) for name, t in read.splits.items()
    }
    plan = Plan(np.stack([np.arange(1, 7) * 2.5, np.zeros(6)], axis=1))
    for protocol in CHOSEN:
        both = [by.cases[protocol.name] for by in (made, read)]
        assert both[0].left_out == both[1].left_out
        scores = [
            protocol.judge_paths(cases, protocol.paths(cases, PlanStack.of([plan] * len(cases))))
            for cases in both
        ]
        np.testing.assert_array_equal(scores[0].distance_m, scores[1].distance_m)
        assert list(scores[0].lines(protocol.name)) == list(scores[1].lines(protocol.name))


def test_every_truth_is_read_once_for_all_protocols(tmp_path: Path):
    recording = Counting()
    prepared(recording, tokens_of(recording), [PROTOCOLS["uniad"], PROTOCOLS["vad"]])
    assert recording.reads == tokens_of(recording)


def test_other_data_and_other_clips_are_prepared_anew(tmp_path: Path):
    ready(Counting(), tmp_path)
    for other in (Counting(digest="changed"), Counting(keyframes=9)):
        ready(other, tmp_path)
        assert other.reads


@pytest.mark.parametrize("kept_bytes", [0, 100])
def test_a_file_that_was_cut_off_is_made_again(kept_bytes: int, tmp_path: Path):
    wanted = ready(Counting(), tmp_path)
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:kept_bytes])
    recording = Counting()
    assert ready(recording, tmp_path).cases["vad"].tokens == wanted.cases["vad"].tokens
    assert recording.reads
    again = Counting()
    ready(again, tmp_path)
    assert not again.reads


def test_a_folder_that_cannot_be_written_costs_no_score(tmp_path: Path):
    (tmp_path / "file").write_text("no folder can be made below a file")
    made = ready(Counting(), tmp_path / "file" / "cache")
    assert made.cases["vad"].tokens == ready(Counting(), None).cases["vad"].tokens


@pytest.mark.parametrize("decides", [Truth, PlanStack, NuScenesRecording, MOTIONS["ctrv"]])
def test_a_change_of_any_code_that_decides_a_case_makes_it_anew(decides: object):
    """What a step holds, how paths are judged, how tables become truths, where a kind begins."""
    assert Path(inspect.getfile(decides)) in source_files()


def test_kinds_of_clips_hold_their_tokens():
    """Straight drives at 4 and 8 m/s: nothing turns, nothing stands, constant velocity is right."""
    splits = ready(Counting(), None).splits
    assert set(splits) == {"command_straight", "straight", "moving"}
    assert len(splits["straight"]) == 2 * 4  # of 10 keyframes, 4 have 3 s of future


def test_settings_of_a_clip_do_not_prepare_truths_anew(tmp_path: Path):
    """Only kinds of clips ask for the ego's past, and they are told again."""

    @dataclass
    class Known(Counting):
        truth_digest: str = "same truths"

    ready(Known(), tmp_path)
    other = Known(digest="other proposals")
    prepared(other, tokens_of(other), [PROTOCOLS["vad"]], cache=tmp_path)
    assert not other.reads
    changed = Known(truth_digest="other truths")
    prepared(changed, tokens_of(changed), [PROTOCOLS["vad"]], cache=tmp_path)
    assert changed.reads
