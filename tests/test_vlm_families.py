"""Stock model families, built tiny and random, load from a folder and write under a grammar."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from drivevlm.vlm.config import HfConfig
from drivevlm.vlm.hf import HfVLM
from drivevlm.vlm.loading import quiet
from drivevlm.vlm.matcher import admits
from drivevlm.vlm.seam import ImagePart, Message, Request, Role, TextPart

GRAMMAR = 'start: "PLAN " N "," N " " /[a-zé]{0,6}/ "."\nN: /-?[0-9]{1,2}\\.[0-9]{2}/\n'
PATCHES = {"image_size": 56, "patch_size": 14}
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def template(image):
    return (
        "{% for m in messages %}[{{ m['role'] }}]{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}" + image + "{% else %}{{ c['text'] }}{% endif %}"
        "{% endfor %}{% if not loop.last or add_generation_prompt %}<eos>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )


def byte_level(*specials, **named):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return dressed(raw, specials, named)


def byte_fallback(*specials, **named):
    """The kind of Llama and Gemma: a space is "▁", what has no piece is spelled in bytes."""
    pieces = ["<unk>", *(f"<0x{b:02X}>" for b in range(256)), *"▁abcdefghijklmnopqrstuvwxyzPLAN.,-"]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    raw = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    raw.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return dressed(raw, specials, named)


def dressed(raw, specials, named):
    marks = ("<eos>", "<pad>", "<bos>", *specials)
    raw.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<eos>",
        pad_token="<pad>",
        bos_token="<bos>",
        extra_special_tokens=named,
    )


def words(tokenizer, **more):
    return SMALL | {
        "vocab_size": len(tokenizer),
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def processor(kind, image_processor, tokenizer, image, **options):
    """The folder of a user holds what a stock processor saves, video processor or not."""
    from drivevlm.vlm.processors import _without_videos

    kind = _without_videos(kind) if "video_processor" in kind.get_attributes() else kind
    return kind(image_processor, tokenizer, chat_template=template(image), **options)


def qwen(name):
    tokenizer = byte_level("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    ids = {
        f"{part}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for part, token in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }
    eye = {"depth": 2, "hidden_size": 32, "num_heads": 2, "patch_size": 14}
    eye |= {
        "Qwen2VL": {"embed_dim": 32, "mlp_ratio": 2},
        "Qwen2_5_VL": {
            "intermediate_size": 64,
            "out_hidden_size": 32,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        "Qwen3VL": {
            "intermediate_size": 64,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
    }[name]
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    config = getattr(transformers, f"{name}Config")(
        text_config=words(tokenizer, rope_parameters=rope), vision_config=eye, **ids
    )
    pixels = transformers.Qwen2VLImageProcessorPil(
        min_pixels=56 * 56, max_pixels=112 * 112, patch_size=14
    )
    mark = "<|vision_start|><|image_pad|><|vision_end|>"
    kind = getattr(transformers, f"{name}Processor")
    return config, processor(kind, pixels, tokenizer, mark)


def llava():
    tokenizer = byte_level("<image>")
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**words(tokenizer)),
        vision_config=transformers.CLIPVisionConfig(**SMALL, **PATCHES),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    pixels = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}
    )
    return config, processor(
        transformers.LlavaProcessor,
        pixels,
        tokenizer,
        "<image>",
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def llava_onevision():
    tokenizer = byte_level("<image>", "<video>")
    pinpoints = [[56, 56], [56, 112]]
    config = transformers.LlavaOnevisionConfig(
        text_config=transformers.Qwen2Config(**words(tokenizer)),
        vision_config=transformers.SiglipVisionConfig(**SMALL, **PATCHES),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
    )
    pixels = transformers.LlavaOnevisionImageProcessorPil(
        size={"height": 56, "width": 56}, image_grid_pinpoints=pinpoints
    )
    kind = transformers.LlavaOnevisionProcessor
    options = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    return config, processor(kind, pixels, tokenizer, "<image>", **options)


def internvl():
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = byte_level(*named.values(), **named)
    eye = SMALL | {"image_size": [56, 56], "patch_size": [14, 14]}
    config = transformers.InternVLConfig(
        text_config=transformers.Qwen2Config(**words(tokenizer)),
        vision_config=eye,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    pixels = transformers.GotOcr2ImageProcessorPil(
        size={"height": 56, "width": 56}, crop_to_patches=False
    )
    kind = transformers.InternVLProcessor
    return config, processor(kind, pixels, tokenizer, "<IMG_CONTEXT>", image_seq_length=4)


def smolvlm():
    tokenizer = byte_level("<image>", "<fake_token_around_image>", "<global-img>")
    config = transformers.SmolVLMConfig(
        text_config=transformers.LlamaConfig(**words(tokenizer)),
        vision_config=SMALL | PATCHES,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    pixels = SmolVLMImageProcessorPil(
        do_image_splitting=False, size={"longest_edge": 56}, max_image_size={"longest_edge": 56}
    )
    kind = transformers.Idefics3Processor
    return config, processor(kind, pixels, tokenizer, "<image>", image_seq_len=4)


def gemma3():
    named = {"boi_token": "<start_of_image>", "eoi_token": "</image>", "image_token": "<image>"}
    tokenizer = byte_fallback(*named.values(), **named)
    config = transformers.Gemma3Config(
        text_config=words(tokenizer, sliding_window=64),
        vision_config=transformers.SiglipVisionConfig(**SMALL, **PATCHES, vision_use_head=False),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("</image>"),
        mm_tokens_per_image=4,
    )
    pixels = transformers.Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    kind = transformers.Gemma3Processor
    return config, processor(kind, pixels, tokenizer, "<start_of_image>", image_seq_length=4)


def paligemma():
    tokenizer = byte_fallback("<image>")
    config = transformers.PaliGemmaConfig(
        text_config=transformers.GemmaConfig(**words(tokenizer)),
        vision_config=transformers.SiglipVisionConfig(**SMALL, **PATCHES, vision_use_head=False),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=32,
    )
    pixels = transformers.SiglipImageProcessorPil(size={"height": 56, "width": 56})
    pixels.image_seq_length = 16
    return config, processor(transformers.PaliGemmaProcessor, pixels, tokenizer, "<image>")


FAMILIES = {
    "qwen2_vl": lambda: qwen("Qwen2VL"),
    "qwen2_5_vl": lambda: qwen("Qwen2_5_VL"),
    "qwen3_vl": lambda: qwen("Qwen3VL"),
    "llava": llava,
    "llava_onevision": llava_onevision,
    "internvl": internvl,
    "smolvlm": smolvlm,
    "gemma3": gemma3,
    "paligemma": paligemma,
}


def built(family: str, folder: Path) -> Path:
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config, parts = FAMILIES[family]()
        model = transformers.AutoModelForImageTextToText.from_config(config)
        model.generation_config.eos_token_id = parts.tokenizer.eos_token_id
        model.save_pretrained(folder)
        parts.save_pretrained(folder)
    return folder


def question(images=2, prefix="", value=90, **options):
    rng = np.random.default_rng(value)
    parts = [TextPart("cameras:")]
    for i in range(images):
        pixels = rng.integers(0, 255, (63, 112, 3)).astype(np.uint8)
        parts += [TextPart(f" {i} "), ImagePart(pixels, label=str(i), stamp_us=i)]
    messages = [Message(Role.USER, (*parts, TextPart(" what now?")))]
    if prefix:
        messages.append(Message(Role.ASSISTANT, (TextPart(prefix),)))
    return Request(tuple(messages), max_tokens=60, grammar=GRAMMAR, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_loads_from_a_folder_and_its_reply_follows_the_grammar(family, tmp_path, capfd):
    if family == "smolvlm" and hasattr(transformers.SmolVLMImageProcessorPil, "_backends"):
        pytest.skip("transformers 5.17 has no SmolVLM image processor without torchvision")
    vlm = HfVLM(HfConfig(model=str(built(family, tmp_path / family))))
    questions = [question(), question(prefix="So: ")]
    if family != "paligemma":  # its processor wants an image in every prompt
        questions.append(question(images=0))
    jobs = [vlm.submit(q) for q in questions]
    for job in jobs:
        reply = job.result(timeout=60)
        assert admits(GRAMMAR, reply.texts[0])
        assert reply.prompt_tokens > 10
        assert set(reply.timings_ms) >= {"queue", "prepare", "prefill", "decode"}
    assert "encode" in jobs[0].result().timings_ms
    assert vlm.name == family
    vlm.close()
    assert capfd.readouterr() == ("", "")
