"""A conversation in a model's own words: chat template, placeholders, tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from PIL import Image
from transformers import BatchFeature, ProcessorMixin

from drivevlm.vlm.seam import ImagePart, Message, Request, Role, TextPart, VLMError


class Chat:
    """Writes requests as a model was taught to read them.

    Args:
        processor: The model's processor.
        template_file: A chat template in place of the model's own.
    """

    def __init__(self, processor: ProcessorMixin, template_file: str | None = None) -> None:
        self.processor: Any = processor
        self.tokenizer: Any = self.processor.tokenizer
        self.tokenizer.padding_side = "left"
        if template_file is not None:
            self.processor.chat_template = _read(template_file)
        elif not self.processor.chat_template:
            self.processor.chat_template = self.tokenizer.chat_template
        if not self.processor.chat_template:
            raise VLMError("the model has no chat template: name a file with one")
        self._controls = sorted(
            {t.content for t in self.tokenizer.added_tokens_decoder.values() if t.special}
        )

    def prompt(self, request: Request) -> str:
        """The conversation as one text, images still one placeholder each.

        Raises VLMError where the template cannot write it, drops a part of it, or where a text
        spells one of the model's control tokens.
        """
        continues = request.messages[-1].role is Role.ASSISTANT
        try:
            prompt: str = self.processor.apply_chat_template(
                [self._turn(message) for message in request.messages],
                tokenize=False,
                add_generation_prompt=not continues,
                continue_final_message=continues,
            )
        except (TemplateError, ValueError) as error:
            line = " ".join(str(error).split())
            raise VLMError(f"the chat template refuses the conversation: {line}") from error
        texts = [p.text for m in request.messages for p in m.parts if isinstance(p, TextPart)]
        for text in texts:
            if text.strip() not in prompt:
                raise VLMError(f"the chat template dropped a part: {text.strip()[:60]!r}")
        if continues:
            prefix = texts[-1]
            if prompt.endswith(prefix.rstrip()):
                prompt += prefix[len(prefix.rstrip()) :]
            elif not prompt.endswith(prefix):
                raise VLMError("the chat template does not let an answer be continued")
        return prompt

    def tensors(self, prompts: Sequence[str], requests: Sequence[Request]) -> BatchFeature:
        """Model inputs of a batch, padded on the left; all with images or all without."""
        images = [[Image.fromarray(p.image_rgb) for p in r.images] for r in requests]
        begin = self.tokenizer.bos_token
        try:
            return self.processor(  # type: ignore[no-any-return]
                text=list(prompts),
                images=images if any(images) else None,
                padding=True,
                return_tensors="pt",
                add_special_tokens=begin is None or not prompts[0].startswith(begin),
            )
        except ValueError as error:
            line = " ".join(str(error).split())
            raise VLMError(f"the processor refuses text or images: {line}") from error

    def _turn(self, message: Message) -> dict[str, object]:
        return {
            "role": message.role.value,
            "content": [
                {"type": "image"} if isinstance(part, ImagePart) else self._words(part.text)
                for part in message.parts
            ],
        }

    def _words(self, text: str) -> dict[str, object]:
        for control in self._controls:
            if control in text:
                raise VLMError(f"a text spells the model's control token {control!r}")
        return {"type": "text", "text": text}


def _read(template_file: str) -> str:
    path = Path(template_file).expanduser()
    if not path.is_file():
        raise VLMError(f"no chat template at {path}")
    return path.read_text(encoding="utf-8")
