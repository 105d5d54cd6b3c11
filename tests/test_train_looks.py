"""It looks: sixteen clips asked with the very same words are answered by what is in the pictures.

A falling loss proves nothing, since sixteen answers can be dealt out blindly at a low one. So the
pictures are moved to other clips, and the answers must go with them.
"""

from __future__ import annotations

import pytest
from looking import WORDS, Sixteen, replies

from drivevlm.app import composed, main
from drivevlm.build.parts import Parts
from drivevlm.build.table import Chosen

pytestmark = pytest.mark.part
pytest.importorskip("pyarrow.parquet", reason="packing needs pyarrow (the extra [train])")
TRAINING = (
    "model=nano",
    "train.steps=240",
    "train.batch=16",
    "train.warmup=20",
    "train.weight_decay=0",
    "train.cached=false",
    "train.rates={encoder: 2e-3, projector: 2e-3, decoder: 2e-3}",
    "train.dropout={ego_status: 0, block: 0, camera: 0}",
    "train.forms={full: 1, plan_first: 0, plan_only: 0}",
    "train.weights={detect: 1, scene: 1, spatial: 1, decide: 1, plan: 1}",
    "train.save_every=1000",
)


def answers(folder, recording) -> list[str]:
    """What should be said to each clip."""
    words = ["data=packed", f"data.path={folder}", *WORDS]
    parts = Parts.of(Chosen.of(*composed(words)), lambda line: None)
    from drivevlm.world.labels import decision_from_truth

    return [
        parts.dialogue.answer(
            parts.recording.clip(t), decision_from_truth(parts.recording.truth(t))
        )
        for t in recording.tokens
    ]


@pytest.mark.parametrize(
    "old",
    [
        pytest.param(False, id="newest pictures"),
        pytest.param(True, id="older pictures alone", marks=pytest.mark.slow),
    ],
)
def test_answers_follow_the_pictures(old, tmp_path):
    right, turned = Sixteen(old=old), Sixteen(old=old, turned=5)
    folder, elsewhere = right.packed(tmp_path / "right"), turned.packed(tmp_path / "turned")
    out = tmp_path / "run"
    assert main(["train", f"data.path={folder}", *WORDS, *TRAINING, f"out={out}"]) == 0
    expected = answers(folder, right)
    assert len(set(expected)) == 16
    said = replies(folder, out / "last", tmp_path / "said")
    assert [said[token] for token in right.tokens] == expected
    moved = replies(elsewhere, out / "last", tmp_path / "moved")
    assert [moved[token] for token in right.tokens] == [expected[(k + 5) % 16] for k in range(16)]
