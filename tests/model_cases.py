"""Small models, a tokenizer and cameras for the tests of ``drivevlm.model``."""

from dataclasses import replace

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from drivevlm.app.settings import MODEL_DESCRIBE, composed
from drivevlm.build.settings import settings_from
from drivevlm.model.assembly import new_model
from drivevlm.model.config import ModelConfig
from drivevlm.model.processor import IMAGE_TOKEN

CODEC = tuple(f"<a{k}>" for k in range(7)) + tuple(f"<k{k}>" for k in range(5))
NANO = settings_from(ModelConfig, composed(["model=nano"], MODEL_DESCRIBE)[0]["model"])
SIX = ((448, 252),) * 6
FIVE = ((320, 200), (320, 200), (200, 320), (97, 61), (448, 252))  # width, height


def letters():
    """A tokenizer of bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<pad>")


def nano(**changes):
    """The smallest model and its processor, some of its settings changed."""
    return new_model(replace(NANO, **changes), letters(), codec_tokens=CODEC)


def pictures(sizes, seed=0):
    """Noise of some sizes (width, height)."""
    noise = np.random.default_rng(seed)
    return [noise.integers(0, 256, (h, w, 3), dtype=np.uint8) for w, h in sizes]


def rays(sizes, turned_rad=0.0):
    """Rays of level cameras that look around evenly, all at (1.5, 0, 1.6) m."""
    found = []
    for index, (w, h) in enumerate(sizes):
        yaw = 2 * np.pi * index / len(sizes) + turned_rad
        u, v = np.meshgrid((np.arange(w) + 0.5) / w - 0.5, (np.arange(h) + 0.5) / w - h / w / 2)
        x, y = np.cos(yaw) + u * np.sin(yaw), np.sin(yaw) - u * np.cos(yaw)
        ahead = np.stack([x, y, -v], axis=-1)
        ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
        origin = np.broadcast_to([1.5, 0.0, 1.6], ahead.shape)
        found.append(np.concatenate([ahead, origin], axis=-1).astype(np.float32))
    return found


def inputs(processor, sizes, text="see ", answer="", seed=0, ages_s=None):
    """Of one prompt: its images and then some words."""
    return processor(
        text=[IMAGE_TOKEN * len(sizes) + text + answer],
        images=[pictures(sizes, seed)],
        rays=[rays(sizes)],
        ages_s=[list(ages_s or [0.0] * len(sizes))],
    )


SMALL = ((64, 48), (32, 32))
ANSWERS = ("left", "stop")


def two_scenes(processor, answers=("", "")):
    """Two prompts of the same words, by day and by night, and how each is answered."""
    day, night = pictures(SMALL, 1), [image // 4 for image in pictures(SMALL, 2)]
    return processor(
        text=[IMAGE_TOKEN * len(SMALL) + "go?" + answer for answer in answers],
        images=[day, night],
        rays=[rays(SMALL)] * 2,
    )


def lesson(processor):
    """The two scenes and their answers, which alone are targets."""
    end = processor.tokenizer.eos_token
    batch = two_scenes(processor, [answer + end for answer in ANSWERS])
    labels = batch["input_ids"].clone()
    labels[:, : -len(ANSWERS[0]) - 1] = -100
    return batch | {"labels": labels}


def replies(model, processor):
    """What is answered to the two scenes."""
    asked = two_scenes(processor)
    written = model.generate(**asked, max_new_tokens=6, do_sample=False)
    fresh = written[:, asked["input_ids"].shape[1] :]
    return tuple(processor.tokenizer.batch_decode(fresh, skip_special_tokens=True))


def trained(model, batch, steps, rate=3e-3):
    """Losses of so many steps on one batch."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=rate)
    model.train()
    losses = []
    for _ in range(steps):
        loss = model(**batch).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    model.eval()
    return losses
