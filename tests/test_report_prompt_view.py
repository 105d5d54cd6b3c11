import io
import json

import numpy as np
from PIL import Image
from rich.console import Console

from drivevlm.report.prompt_view import PromptView, as_json, as_words, write_images
from drivevlm.vlm.seam import ImagePart, Message, Request, Role, TextPart

LONG = "x forward, y left " * 20


def request() -> Request:
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    pixels[0, 0] = 200
    front = ImagePart(pixels, "../CAM FRONT, now", 1_500_000)
    return Request(
        (
            Message(Role.SYSTEM, (TextPart("You [bold]drive[/bold]."),)),
            Message(Role.USER, (TextPart(LONG), front, TextPart("a\x1b[31mb\u202ec"))),
        ),
        max_tokens=64,
    )


def words_only(part: TextPart | ImagePart) -> int | None:
    return len(part.text.split()) if isinstance(part, TextPart) else None


def shown(width: int = 60) -> str:
    out = io.StringIO()
    PromptView(request(), words_only).print(Console(file=out, width=width, color_system=None))
    return out.getvalue()


def test_the_words_are_shown_exactly_at_any_width():
    text = shown()
    assert "You [bold]drive[/bold]." in text
    assert LONG in text
    assert "image 0: '../CAM FRONT, now', 6 x 4, 1.500000 s · - tokens" in text
    assert "message 1: system" in text
    assert "message 2: user" in text


def test_a_prompt_cannot_command_the_terminal():
    assert "\x1b" not in shown()
    assert "a\\x1b[31mb\\x202ec" in shown()


def test_tokens_are_counted_where_they_can_be():
    assert "text 83 tokens · 1 images - tokens · reply at most 64 tokens" in shown()
    told = as_json(request(), words_only)
    assert told["tokens"] == {"text": 83, "images": None}


def test_the_machine_readable_form_is_json_and_whole():
    told = json.loads(json.dumps(as_json(request(), words_only)))
    assert told["messages"][1]["parts"][0] == {"text": LONG, "tokens": 80}
    assert told["messages"][1]["parts"][1]["size_px"] == [6, 4]
    assert told["digest"] == request().digest
    assert as_words(request()).startswith("[system]\nYou [bold]drive[/bold].\n[user]\n" + LONG)


def test_images_are_written_as_the_model_gets_them_under_sane_names(tmp_path):
    (path,) = write_images(request(), tmp_path / "images")
    assert path.name == "00_cam_front_now.png"
    written = np.asarray(Image.open(path))
    np.testing.assert_array_equal(written, request().images[0].image_rgb)
