"""Image-and-text processors of stock models, with or without torchvision."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, cast

import transformers
from transformers import AutoProcessor, PretrainedConfig, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import import_utils

from drivevlm.vlm.seam import VLMError

_NAMED_IN = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def load_processor(
    folder: Path, config: PretrainedConfig, *, trust_remote_code: bool
) -> ProcessorMixin:
    """The processor of a model folder.

    Many processors bring a video processor, which needs torchvision even where no video is ever
    read; without torchvision a subclass that knows images only takes their place.
    """
    kind: Any = _processor_class(folder, config)
    loader: Any = AutoProcessor
    if kind is not None and not import_utils.is_torchvision_available():
        if kind.__name__ == "SmolVLMProcessor" and not import_utils.is_num2words_available():
            kind = transformers.Idefics3Processor  # the same for images; num2words is for videos
            loader = kind
        if "video_processor" in kind.get_attributes():
            loader = _without_videos(kind)
    processor = loader.from_pretrained(
        folder, trust_remote_code=trust_remote_code, local_files_only=True
    )
    if not isinstance(processor, ProcessorMixin):
        raise VLMError(
            f"{folder} has no processor for images and text, only a {type(processor).__name__}: "
            "add its processor_config.json or preprocessor_config.json"
        )
    return processor


def _processor_class(folder: Path, config: PretrainedConfig) -> object | None:
    """The class that the folder's files name, else the one that belongs to the config."""
    for name in _NAMED_IN:
        if (folder / name).is_file():
            words = json.loads((folder / name).read_text(encoding="utf-8"))
            named = getattr(transformers, words.get("processor_class") or "", None)
            if named is not None:
                return cast(object, named)
    return cast(object, PROCESSOR_MAPPING.get(type(config), None))


def _without_videos(kind: Any) -> Any:
    """The same processor under the same name, one part less.

    transformers reads the parts of a processor off the signature of its ``__init__``, and the
    options that it takes from a file off its code: both are told here what the original takes.
    """

    def init(self: Any, image_processor: Any, tokenizer: Any, **options: Any) -> None:
        kind.__init__(self, image_processor=image_processor, tokenizer=tokenizer, **options)

    whole = inspect.signature(kind.__init__)
    kept = [p for name, p in whole.parameters.items() if name != "video_processor"]
    init.__signature__ = whole.replace(parameters=kept)  # type: ignore[attr-defined]
    names = [p.name for p in kept]

    def validate(processor_config: Any, valid_kwargs: Any) -> Any:
        return kind.validate_init_kwargs(processor_config, names)

    body = {"__init__": init, "validate_init_kwargs": staticmethod(validate)}
    return type(kind.__name__, (kind,), body)
