"""The network: encode images, project them to tokens, embed those among words, read and write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel

from drivevlm.model.architecture import DriveVLMConfig
from drivevlm.model.config import ModelError
from drivevlm.model.encoder import VisionEncoder
from drivevlm.model.pooling import Grid
from drivevlm.model.projector import Projector

_hf: Any = transformers


class DriveVLM(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
    """A language model that sees any number of images, each with its rays and its age.

    The steps can be taken one by one, so that what is known already need not be made again:
    ``encode`` (an image's features depend on its pixels only), ``project``, ``embed``.
    """

    config_class = DriveVLMConfig
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    # None of its own; PEFT looks for those of the parts only where there is a dict.
    _tied_weights_keys = {}  # noqa: RUF012

    def __init__(self, config: DriveVLMConfig) -> None:
        super().__init__(config)
        self.vision_encoder = VisionEncoder(
            config.vision_config,
            strides=config.strides,
            mean=config.image_mean,
            std=config.image_std,
        )
        text: Any = config.text_config
        self.projector = Projector(
            config.projector_config,
            channels=self.vision_encoder.channels,
            token_width=text.hidden_size,
        )
        self.language_model = _hf.AutoModelForCausalLM.from_config(text)
        self.post_init()  # type: ignore[no-untyped-call]

    def encode(self, images: Sequence[Tensor]) -> list[Tensor]:
        """(C, h, w) of each image (3, H, W), RGB from 0 to 255, of any size."""
        return self.vision_encoder(images)  # type: ignore[no-any-return]

    def project(
        self,
        features: Sequence[Tensor],
        rays: Sequence[Tensor | None] | None,
        ages_s: Tensor,
        grids: Sequence[Grid] | None = None,
    ) -> list[Tensor]:
        """(T, D) tokens of each image; see ``Projector``.

        Without rays all are unknown. Without grids they are chosen by age alone.
        """
        known = [None] * len(features) if rays is None else rays
        if grids is None:
            settings = self.config.projector_config
            grids = [settings.grid("", float(age_s)) for age_s in ages_s]
        return self.projector(features, known, ages_s, [(r, c) for r, c in grids])  # type: ignore[no-any-return]

    def embed(self, input_ids: Tensor, tokens: Sequence[Tensor]) -> Tensor:
        """(B, L, D): words, and the visual tokens in the places kept for them, in order.

        ``tokens`` are those of all rows' images, row after row. Raises ModelError where they are
        more or fewer than the places.
        """
        embedded: Tensor = self.get_input_embeddings()(input_ids)
        places = input_ids == self.config.image_token_id
        wanted, made = int(places.sum()), sum(len(t) for t in tokens)
        if wanted != made:
            raise ModelError(
                f"the prompts keep {wanted} places for visual tokens, the images give {made}"
            )
        if not made:
            return embedded
        return embedded.masked_scatter(places[..., None], torch.cat(list(tokens)).to(embedded))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        pixel_values: Sequence[Tensor] | None = None,
        features: Sequence[Tensor] | None = None,
        rays: Sequence[Tensor | None] | None = None,
        ages_s: Tensor | None = None,
        grids: Sequence[Grid] | None = None,
        logits_to_keep: int | Tensor = 0,
        **options: Any,
    ) -> Any:
        """What the language model gives: logits, and a loss where there are labels.

        Images come as pixels, or as the features that ``encode`` made of them, those of all rows
        in one list; or with ``inputs_embeds`` everything is embedded already.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ModelError("neither input_ids nor inputs_embeds came")
            inputs_embeds = self._embedded(input_ids, pixel_values, features, rays, ages_s, grids)
        return self.language_model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            labels=labels,
            logits_to_keep=logits_to_keep,
            **options,
        )

    def _embedded(
        self,
        input_ids: Tensor,
        pixel_values: Sequence[Tensor] | None,
        features: Sequence[Tensor] | None,
        rays: Sequence[Tensor | None] | None,
        ages_s: Tensor | None,
        grids: Sequence[Grid] | None,
    ) -> Tensor:
        if pixel_values is not None and features is not None:
            raise ModelError("images come as pixels or as features, not as both")
        if features is None:
            features = self.encode(pixel_values) if pixel_values is not None else []
        if features and ages_s is None:
            raise ModelError(f"{len(features)} images came without their ages")
        ages = torch.zeros(0) if ages_s is None else ages_s
        return self.embed(input_ids, self.project(features, rays, ages, grids))

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, *places: Any, **options: Any) -> Any:
        """As transformers generates; images are given as to ``forward``.

        They are embedded once, before the prompts are multiplied for beams or samples. The image
        token, which would keep a place for nothing, is never written.
        """
        names = ("pixel_values", "features", "rays", "ages_s", "grids")
        images = {name: options.pop(name, None) for name in names}
        input_ids = options.pop("input_ids", inputs)
        seen = images["pixel_values"] is not None or images["features"] is not None
        if seen and input_ids is not None and options.get("inputs_embeds") is None:
            options["inputs_embeds"] = self._embedded(input_ids, **images)
        unwanted = options.pop("suppress_tokens", None) or ()
        options["suppress_tokens"] = [self.config.image_token_id, *unwanted]
        writer: Any = super()
        return writer.generate(input_ids, *places, **options)

    def get_input_embeddings(self) -> nn.Module:
        """The words' embeddings."""
        return self.language_model.get_input_embeddings()  # type: ignore[no-any-return]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Put others in their place."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """What makes logits."""
        return self.language_model.get_output_embeddings()  # type: ignore[no-any-return]

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Put another in its place."""
        self.language_model.set_output_embeddings(value)

    def _init_weights(self, module: nn.Module) -> None:
        """The projector's layers begin as torch has them, not at the small scale of a decoder."""
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
        elif isinstance(module, nn.MultiheadAttention):
            module._reset_parameters()
        else:
            super()._init_weights(module)  # type: ignore[no-untyped-call]
