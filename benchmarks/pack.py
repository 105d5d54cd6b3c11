"""Packed data against the folder that they were packed from: writing, reading, bytes a clip.

    python benchmarks/pack.py [keyframes] [width] [height]

Generated scenes, six cameras, one image each. Reading takes every clip once, in random order, from
a recording that was just opened: the clip alone, with its truth, with its encoded images, and with
its decoded images. Ratios are taken in one run: more than 1 means that packed is faster.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.recording import NuScenesRecording
from drivevlm.data.packed import PackedConfig, PackedRecording
from drivevlm.data.recording import Recording
from drivevlm.evaluate.pack import PackOrder, pack
from drivevlm_sim.flat.make import FlatConfig, make_flat

REPEATS = 3
READS: dict[str, Callable[[Recording, str], object]] = {
    "clip": lambda recording, token: recording.clip(token),
    "clip and truth": lambda recording, token: (recording.clip(token), recording.truth(token)),
    "clip, encoded images": lambda recording, token: [
        frame.encoded for s in recording.clip(token).cameras for frame in s.frames
    ],
    "clip, decoded images": lambda recording, token: [
        frame.decode() for s in recording.clip(token).cameras for frame in s.frames
    ],
}


def clips_per_s(recording: Recording, read: Callable[[Recording, str], object], seed: int) -> float:
    """One pass over all clips in random order."""
    tokens = [token for scene in recording.scenes() for token in scene.tokens]
    random.Random(seed).shuffle(tokens)
    begun = time.perf_counter()
    for token in tokens:
        read(recording, token)
    return len(tokens) / (time.perf_counter() - begun)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(keyframes: int, size_px: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        config = FlatConfig(keyframes=keyframes, size_px=size_px)
        root = make_flat(home / "data", config=config)
        data = NuScenesConfig(str(root), version=config.version, cache=str(home / "index"))
        source = NuScenesRecording(data)
        begun = time.perf_counter()
        counts = pack(PackOrder(source, 256_000_000), home / "packed")["counts"]
        wrote_s = time.perf_counter() - begun
        clips = counts["clips"]
        print(f"{clips} clips, {counts['images']} images of {size_px[0]}x{size_px[1]}")
        rate = f"{clips / wrote_s:.0f} clips/s, {counts['image_bytes'] / wrote_s / 1e6:.0f} MB/s"
        print(f"written: {rate}")
        lidar = size_of(root / "samples" / "LIDAR_TOP")
        loose, packed = size_of(root) - lidar, size_of(home / "packed")
        print(
            f"bytes a clip: {loose / clips:.0f} loose (without lidar), {packed / clips:.0f} "
            f"packed, of them {counts['image_bytes'] / clips:.0f} images; "
            f"packed / loose = {packed / loose:.2f}"
        )
        print(f"{'read, clips/s':<24}{'loose':>10}{'packed':>10}{'ratio':>8}")
        for name, read in READS.items():
            best = {"loose": 0.0, "packed": 0.0}
            for seed in range(REPEATS):
                # What was read is remembered by path: under a new name nothing is.
                again = home / f"packed-{name}-{seed}"
                again.symlink_to(home / "packed")
                opened: dict[str, Recording] = {"loose": NuScenesRecording(data)}
                opened["packed"] = PackedRecording(PackedConfig(str(again)))
                for kind, recording in opened.items():
                    best[kind] = max(best[kind], clips_per_s(recording, read, seed))
            ratio = best["packed"] / best["loose"]
            print(f"{name:<24}{best['loose']:>10.0f}{best['packed']:>10.0f}{ratio:>8.2f}")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    keyframes, width, height = numbers + [40, 448, 252][len(numbers) :]
    main(keyframes, (width, height))
