"""The programs of the graphics card, without branches: a software renderer runs all of them."""

from __future__ import annotations

VERTEX = """
in vec3 in_position; in vec3 in_normal; in vec3 in_texel; in vec3 in_colour;
in float in_gloss; in float in_lamp;
#ifdef PLACED
in vec4 in_row_x; in vec4 in_row_y; in vec4 in_row_z; in vec3 in_tint; in float in_lit;
in float in_name;
#endif
uniform mat4 clip_from_town; uniform mat4 shadow_from_town;
uniform vec3 eye; uniform float fog_per_m;
uniform vec4 shine_off[10]; uniform vec4 shine_on[10];
out vec3 town; out vec3 normal; out vec3 texel; out vec3 colour; out vec3 shadow_place;
out float clear;
flat out vec4 shine; flat out float gloss; flat out float ground; flat out float name;
void main() {
    float tinted = step(1.0, in_gloss) * step(in_gloss, 1.999);
    ground = step(2.0, in_gloss);
    gloss = in_gloss - tinted - 2.0 * ground;
    int lamp = int(in_lamp + 0.5);
#ifdef PLACED
    vec4 here = vec4(in_position, 1.0);
    town = vec3(dot(in_row_x, here), dot(in_row_y, here), dot(in_row_z, here));
    vec4 way = vec4(in_normal, 0.0);
    normal = normalize(vec3(dot(in_row_x, way), dot(in_row_y, way), dot(in_row_z, way)));
    colour = in_colour * mix(vec3(1.0), in_tint, tinted);
    shine = mix(shine_off[lamp], shine_on[lamp], float((int(in_lit + 0.5) >> lamp) & 1));
    name = in_name;
#else
    town = in_position; normal = in_normal; colour = in_colour;
    shine = shine_off[lamp]; name = 0.0;
#endif
    texel = in_texel;
    clear = exp(-pow(length(eye - town) * fog_per_m, 1.5));
    // Looking up the shadow a little off the surface keeps it from shading itself.
    shadow_place = (shadow_from_town * vec4(town + normal * 0.07, 1.0)).xyz * 0.5 + 0.5;
    gl_Position = clip_from_town * vec4(town, 1.0);
}
"""

COLOUR = """
in vec3 town; in vec3 normal; in vec3 texel; in vec3 colour; in vec3 shadow_place;
in float clear;
flat in vec4 shine; flat in float gloss; flat in float ground;
uniform vec3 eye; uniform vec3 sun_way; uniform vec3 sun_rgb; uniform vec3 ambient_rgb;
uniform vec3 fog_rgb; uniform vec3 zenith_rgb;
uniform sampler2DArray textures;
#ifdef SHADOW
uniform sampler2DShadow shadow; uniform vec3 shadow_middle;
#endif
#ifdef DARK
uniform sampler2D glow; uniform vec3 glow_corner; uniform float glow_side_m;
uniform vec3 beam_foot; uniform vec3 beam_way; uniform float beam;
#endif
#ifdef WET
uniform sampler2D mirror; uniform vec2 mirror_px;
#endif
out vec4 pixel;
void main() {
    vec3 look = normalize(eye - town);
    vec3 n = normalize(normal);
    n *= 1.0 - 2.0 * step(dot(n, look), 0.0);
    vec4 t = texture(textures, texel);
    vec3 c = colour * t.rgb * 1.25;
    float lit = 1.0;
#ifdef SHADOW
    vec2 off = abs(town.xy - shadow_middle.xy);
    float edge = clamp((shadow_middle.z - max(off.x, off.y)) * 0.1, 0.0, 1.0);
    lit = mix(1.0, texture(shadow, vec3(shadow_place.xy, shadow_place.z - 0.0008)), edge);
#endif
    vec3 light = ambient_rgb * (0.74 + 0.26 * n.z) + sun_rgb * (max(dot(n, sun_way), 0.0) * lit);
#ifdef DARK
    vec2 place = (town.xy - glow_corner.xy) / glow_side_m;
    light += texture(glow, place).rgb * (0.65 + 0.35 * n.z) / (1.0 + 0.02 * town.z * town.z);
    vec3 ray = town - beam_foot;
    float ahead = dot(ray, beam_way);
    float aside = length(ray - beam_way * ahead) / (0.9 + 0.24 * max(ahead, 0.0));
    light += vec3(1.25, 1.18, 1.02) * beam * (exp(-aside * aside) * step(0.0, ahead)
        * clamp(1.0 - ahead / 60.0, 0.0, 1.0));
#endif
#ifdef WET
    c *= 1.0 - 0.45 * ground;
#endif
    float facing = max(dot(n, look), 0.0);
    float graze = (1.0 - facing) * (1.0 - facing);
    float glint = max(dot(n, normalize(look + sun_way)), 0.0);
    glint *= glint; glint *= glint; glint *= glint; glint *= glint; glint *= glint;
    vec3 bounce = reflect(-look, n);
    vec3 sky = mix(fog_rgb, zenith_rgb, clamp(bounce.z * 1.4, 0.0, 1.0)) * step(-0.05, bounce.z);
    float mirrored = gloss * (0.25 + 0.75 * graze * graze);
    vec3 rgb = mix(c * light, sky, mirrored) + sun_rgb * (gloss * lit * glint * 1.5);
#ifdef WET
    // A rough wet road smears what it mirrors along the line of sight.
    vec2 at = gl_FragCoord.xy / mirror_px + (t.rg - 0.78) * vec2(0.05, 0.16) * facing;
    vec3 near = texture(mirror, at).rgb;
    vec3 mid = texture(mirror, at - vec2(0.0, 0.022)).rgb;
    vec3 far = texture(mirror, at + vec2(0.0, 0.028)).rgb;
    vec3 seen = (near * near * 2.0 + mid * mid + far * far) * 0.25;
    float wetness = 0.30 + 0.50 * smoothstep(0.66, 0.98, t.r);
    rgb = mix(rgb, seen, ground * (0.14 + 0.76 * graze * graze) * wetness);
#endif
    float emits = mix(shine.a, -shine.a * (1.0 - t.a), step(shine.a, 0.0));
    rgb = mix(rgb, shine.rgb, emits);
    rgb = mix(fog_rgb, rgb, mix(clear, 1.0, 0.6 * emits));
    pixel = vec4(sqrt(clamp(rgb, 0.0, 1.0)), 1.0);
}
"""

TRUTH = """
flat in float name;
out vec2 pixel;
void main() { pixel = vec2(name, 1.0 / gl_FragCoord.w); }
"""

SHADOW = """
void main() {}
"""

SKY_VERTEX = """
in vec2 in_corner;
uniform mat4 town_from_clip; uniform vec3 eye;
out vec3 ray;
void main() {
    vec4 far = town_from_clip * vec4(in_corner, 1.0, 1.0);
    ray = far.xyz / far.w - eye;
    gl_Position = vec4(in_corner, 1.0, 1.0);
}
"""

SKY = """
in vec3 ray;
uniform vec3 sun_way; uniform vec3 disc_rgb; uniform vec3 fog_rgb; uniform vec3 zenith_rgb;
uniform vec3 cloud_rgb; uniform float cloudy; uniform sampler2DArray textures;
out vec4 pixel;
void main() {
    vec3 way = normalize(ray);
    float up = max(way.z, 0.0);
    vec3 rgb = mix(fog_rgb, zenith_rgb, sqrt(up));
    float cloud = texture(textures, vec3(way.xy / (up + 0.12) * 0.22, 10.0)).r * 1.25;
    rgb = mix(rgb, cloud_rgb, smoothstep(cloudy, cloudy + 0.35, cloud) * smoothstep(0.0, 0.25, up));
    float near = max(dot(way, sun_way), 0.0);
    float halo = near * near * near; halo *= halo; halo *= halo; halo *= halo;
    float disc = halo * halo; disc *= disc; disc *= disc; disc *= disc; disc *= disc;
    rgb += disc_rgb * (disc * 2.0 + halo * 0.22);
    pixel = vec4(sqrt(clamp(rgb, 0.0, 1.0)), 1.0);
}
"""
