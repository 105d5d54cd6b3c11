"""OpenGL without a window: one context a process, its programs, buffers and framebuffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drivevlm_sim.made_once import WorldError
from drivevlm_sim.render import shaders
from drivevlm_sim.render.shapes import Vertices
from drivevlm_sim.render.textures import texture_array

if TYPE_CHECKING:
    import moderngl

# N: placed things. A placed thing is 17 numbers: rows of town_from_mesh 12, tint 3, lit, name.
Placed = NDArray[np.float32]
PLACED_ROW = 17
SAMPLES = 4
SHADOW_PX = 2048
GLOW_PX = 128

_EGL: dict[str, Any] = {"backend": "egl", "libgl": "libGL.so.1", "libegl": "libEGL.so.1"}

_MESH = (("position", 3), ("normal", 3), ("texel", 3), ("colour", 3), ("gloss", 1), ("lamp", 1))
_PLACED = (("row_x", 4), ("row_y", 4), ("row_z", 4), ("tint", 3), ("lit", 1), ("name", 1))


class Pass(str, Enum):
    """What is drawn."""

    COLOUR = "colour"
    TRUTH = "truth"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Kind:
    """A pass and, for colours, which lights the program computes."""

    pass_: Pass
    shadow: bool = False
    dark: bool = False
    wet: bool = False


@dataclass(eq=False)
class Drawable:
    """A mesh on the card, drawn once where it is or many times where it is placed."""

    device: Device
    corners: int
    buffer: moderngl.Buffer
    placed: moderngl.Buffer | None = None
    _arrays: dict[Kind, moderngl.VertexArray] = field(default_factory=dict)

    def draw(self, kind: Kind, placed: Placed | None = None) -> None:
        """Draw with the program of ``kind``, at each of the places if it has some."""
        if placed is None:
            self._array(kind).render()
            return
        if self.placed is None or self.placed.size < placed.nbytes:
            self.placed = self.device.ctx.buffer(reserve=max(2 * placed.nbytes, 4096))
            self._arrays.clear()
        self.placed.orphan()
        self.placed.write(np.ascontiguousarray(placed))
        self._array(kind).render(instances=len(placed))

    def _array(self, kind: Kind) -> moderngl.VertexArray:
        if kind not in self._arrays:
            program = self.device.program(kind, placed=self.placed is not None)
            content = [(self.buffer, *_columns(program, _MESH, ""))]
            if self.placed is not None:
                content.append((self.placed, *_columns(program, _PLACED, "/i")))
            self._arrays[kind] = self.device.ctx.vertex_array(program, content)
        return self._arrays[kind]


class Device:
    """The card, or Mesa's software in its place: one for each process."""

    def __init__(self, ctx: moderngl.Context) -> None:
        self.ctx = ctx
        ctx.gc_mode = "auto"
        self._programs: dict[tuple[Kind, bool], moderngl.Program] = {}
        self._framebuffers: dict[tuple[object, ...], moderngl.Framebuffer] = {}
        self._mirrors: dict[tuple[int, int], moderngl.Texture] = {}
        layers = texture_array()
        count, height, width, _ = layers.shape
        self.textures = ctx.texture_array((width, height, count), 4, layers.tobytes())
        self.textures.build_mipmaps()
        self.textures.filter = (0x2703, 0x2601)  # linear between mipmaps, and within
        self.glow = ctx.texture((GLOW_PX, GLOW_PX), 3, dtype="f2")
        self.glow.repeat_x = self.glow.repeat_y = False
        self.shadow = ctx.depth_texture((SHADOW_PX, SHADOW_PX))
        self.shadow.compare_func = "<="
        self.shadow.filter = (0x2601, 0x2601)
        self.shadow.repeat_x = self.shadow.repeat_y = False
        self.shadow_target = ctx.framebuffer(depth_attachment=self.shadow)
        corners = ctx.buffer(np.array([-1, -1, 3, -1, -1, 3], dtype=np.float32))
        self.sky = ctx.program(
            vertex_shader="#version 330\n" + shaders.SKY_VERTEX,
            fragment_shader="#version 330\n" + shaders.SKY,
        )
        self._sky_array = ctx.vertex_array(self.sky, [(corners, "2f", "in_corner")])

    @property
    def name(self) -> str:
        """What does the drawing, e.g. ``llvmpipe (LLVM 15.0.6, 256 bits)``."""
        return str(self.ctx.info["GL_RENDERER"])

    def drawable(self, vertices: Vertices) -> Drawable:
        """Put a mesh on the card."""
        return Drawable(self, len(vertices), self.ctx.buffer(np.ascontiguousarray(vertices)))

    def program(self, kind: Kind, *, placed: bool) -> moderngl.Program:
        """Compiled once for each kind."""
        key = (kind, placed)
        if key not in self._programs:
            switches = {"PLACED": placed, "SHADOW": kind.shadow, "DARK": kind.dark, "WET": kind.wet}
            head = "#version 330\n" + "".join(f"#define {k}\n" for k, on in switches.items() if on)
            fragment = {
                Pass.COLOUR: shaders.COLOUR,
                Pass.TRUTH: shaders.TRUTH,
                Pass.SHADOW: shaders.SHADOW,
            }[kind.pass_]
            self._programs[key] = self.ctx.program(
                vertex_shader=head + shaders.VERTEX, fragment_shader=head + fragment
            )
        return self._programs[key]

    def set_uniforms(self, kind: Kind, values: Mapping[str, object]) -> None:
        """Hand values to both programs of a kind; those that one does not use are left out."""
        for placed in (False, True):
            fill(self.program(kind, placed=placed), values)

    def draw_sky(self, values: Mapping[str, object]) -> None:
        """Fill what nothing was drawn on."""
        fill(self.sky, values)
        self._sky_array.render()

    def colour_target(self, size_px: tuple[int, int], samples: int) -> moderngl.Framebuffer:
        """A framebuffer for colours; only those of one sample can be read."""
        key = ("colour", size_px, samples)
        if key not in self._framebuffers:
            ctx = self.ctx
            self._framebuffers[key] = ctx.framebuffer(
                [ctx.renderbuffer(size_px, 4, samples=samples)],
                ctx.depth_renderbuffer(size_px, samples=samples),
            )
        return self._framebuffers[key]

    def mirror_target(
        self, size_px: tuple[int, int]
    ) -> tuple[moderngl.Framebuffer, moderngl.Texture]:
        """A framebuffer whose colours are a texture."""
        key = ("mirror", size_px)
        if key not in self._framebuffers:
            texture = self.ctx.texture(size_px, 3)
            texture.repeat_x = texture.repeat_y = False
            depth = self.ctx.depth_renderbuffer(size_px)
            self._framebuffers[key] = self.ctx.framebuffer([texture], depth)
            self._mirrors[size_px] = texture
        return self._framebuffers[key], self._mirrors[size_px]

    def truth_target(self, size_px: tuple[int, int]) -> moderngl.Framebuffer:
        """A framebuffer for names and depths."""
        key = ("truth", size_px)
        if key not in self._framebuffers:
            ctx = self.ctx
            names = ctx.renderbuffer(size_px, 2, dtype="f4")
            self._framebuffers[key] = ctx.framebuffer([names], ctx.depth_renderbuffer(size_px))
        return self._framebuffers[key]


@cache
def device() -> Device:
    """This process's device.

    Raises:
        WorldError: moderngl is not installed, or the machine has no EGL.
    """
    return Device(_context())


def check_gl() -> None:
    """Say now what rendering would miss later.

    A process that draws must be spawned: forked from one that called this or drew, it hangs, for
    Mesa's threads do not live through a fork.

    Raises:
        WorldError: A package is not installed, or the machine has no EGL.
    """
    if find_spec("mapbox_earcut") is None:
        raise WorldError(
            "drawing a town needs mapbox_earcut, which is not installed: "
            'pip install "drivevlm[sim]"'
        )
    _context().release()


def _context() -> moderngl.Context:
    try:
        import moderngl
    except ImportError as error:
        raise WorldError(
            'rendering needs moderngl, which is not installed: pip install "drivevlm[sim]"'
        ) from error
    try:
        return moderngl.create_context(require=330, standalone=True, **_EGL)
    except Exception as error:  # moderngl and its EGL backend raise plain exceptions
        raise WorldError(
            f"rendering needs OpenGL 3.3 through EGL, which this machine lacks ({error}): "
            "apt install libegl1 libgl1 libgl1-mesa-dri"
        ) from error


def fill(program: moderngl.Program, values: Mapping[str, object]) -> None:
    """Hand values to a program: whole numbers are texture units, arrays are floats."""
    import moderngl

    for name, value in values.items():
        member = program.get(name, None)
        if not isinstance(member, moderngl.Uniform):
            continue
        if isinstance(value, int):
            member.value = value
        else:
            array = np.asarray(value, dtype=np.float32)
            # A matrix is handed over column by column.
            member.write(np.ascontiguousarray(array.T if array.shape == (4, 4) else array))


def _columns(
    program: moderngl.Program, layout: tuple[tuple[str, int], ...], rate: str
) -> tuple[str, ...]:
    """Format of a buffer, skipping what the program does not read, and the names it reads."""
    used = [(f"in_{name}", count) for name, count in layout]
    parts = [f"{n}f" if name in program else f"{4 * n}x" for name, n in used]
    return (" ".join(parts) + rate, *(name for name, _ in used if name in program))
