"""Sixteen clips that are asked with the same words: who answers each rightly must look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from drivevlm.app import composed, main
from drivevlm.build.table import Chosen
from drivevlm.data.recording import SceneClips
from drivevlm.evaluate.pack import PackOrder, pack
from drivevlm.world.camera import Camera, CameraSequence, Frame

WORDS = (
    "prompt=native",
    "prompt.images.cameras=[CAM_FRONT]",
    "prompt.images.width_px=112",
    "prompt.images.rays=false",  # those of older pictures would tell how the ego moved
    "block.ego_status=off",
    "block.proposals=off",
    "block.command=off",
    "block.scene_summary=off",
    "block.prior=off",
)
"""Nothing of a clip but its pictures: the prompts are the same to the last byte."""


class Sixteen:
    """Clips of the bundled scenes, one a scene of its own.

    Args:
        old: Show the newest picture of the first clip in all of them, so that only the older ones
            differ.
        turned: Show each clip's answer beside the pictures of the clip so many places on.
    """

    def __init__(self, *, old: bool = False, turned: int = 0) -> None:
        values, groups = composed(["data=demo", "data.frames=2", "data.proposals=none"])
        self._whole = Chosen.of(values, groups).recording(lambda line: None)
        self._old, self._turned = old, turned
        found = [
            token
            for scene in self._whole.scenes()
            for token in scene.tokens[2:]
            if self._whole.truth(token).future_valid.all()
        ]
        self.tokens = found[:: len(found) // 16][:16]

    def __getattr__(self, name):
        return getattr(self._whole, name)

    @property
    def digest(self):
        return f"{self._whole.digest}-{self._old}-{self._turned}-{self.tokens[0]}"

    def scenes(self):
        return tuple(SceneClips(f"s{k}", (token,)) for k, token in enumerate(self.tokens))

    def clip(self, token):
        place = self.tokens.index(token)
        clip = self._whole.clip(token)
        shown = self._whole.clip(self.tokens[(place + self._turned) % len(self.tokens)])
        newest = self._whole.clip(self.tokens[0])
        cameras = []
        for mine, other, first in zip(clip.cameras, shown.cameras, newest.cameras, strict=True):
            sources = [frame.source for frame in other.frames]
            if self._old:
                sources[-1] = first.frames[-1].source
            frames = zip(mine.frames, sources, strict=True)
            pictures = tuple(replace(frame, source=source) for frame, source in frames)
            cameras.append(CameraSequence(mine.camera, pictures))
        return replace(clip, scene=f"s{place}", cameras=tuple(cameras))

    def packed(self, folder: Path) -> Path:
        """In a folder of packed data."""
        pack(PackOrder(self, 100_000_000), folder, lambda what, done, total: None)
        return folder


class Real(Sixteen):
    """The same clips and answers, each beside one real picture, which has nothing to do with them.

    Args:
        pictures: Sixteen files, all of one size.
        turned: As of ``Sixteen``.
    """

    def __init__(self, pictures: Sequence[Path], *, turned: int = 0) -> None:
        super().__init__(turned=turned)
        self._pictures = pictures
        with Image.open(pictures[0]) as image:
            self._size_px = image.size

    @property
    def digest(self):
        return f"{super().digest}-{[path.name for path in self._pictures]}"

    def clip(self, token):
        place = self.tokens.index(token)
        clip = self._whole.clip(token)
        picture = self._pictures[(place + self._turned) % len(self.tokens)]
        camera = Camera("CAM_FRONT", self._size_px)
        frame = Frame(clip.t0_us, self._size_px, picture)
        return replace(clip, scene=f"s{place}", cameras=(CameraSequence(camera, (frame,)),))


def replies(data: Path, model: Path, out: Path, *words: str) -> dict[str, str]:
    """What ``drivevlm eval`` has the model answer, by clip."""
    told = ["eval", "data=packed", f"data.path={data}", "vlm=native", f"vlm.model={model}"]
    told += [*WORDS, *words, "planner=[vlm]", "protocol=[]", "page.clips=0", f"out={out}"]
    assert main(told) == 0
    lines = (out / "records.jsonl").read_text().splitlines()
    return {line["clip"]: line["decision"]["reply"] for line in map(json.loads, lines)}
