"""Rays, ages, budgets and projectors: what an image's tokens depend on, and what they do not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from model_cases import FIVE, NANO, rays

from drivevlm.model.config import Budget, ModelError, Pooling, ProjectorConfig
from drivevlm.model.geometry import cell_rays
from drivevlm.model.projector import Projector

POOLINGS = list(Pooling)
GRIDS = [(2, 4), (1, 3), (2, 4), (4, 4), (2, 4)]


def projector(pooling=Pooling.ATTENTION):
    torch.manual_seed(0)
    config = replace(NANO.projector, pooling=pooling)
    return Projector(config, channels=24, token_width=32).eval()


def cells_of_five(turned_rad=0.0):
    """Features and rays of five cameras of other sizes."""
    told = [cell_rays(torch.from_numpy(r), 16) for r in rays(FIVE, turned_rad)]
    torch.manual_seed(1)
    return [torch.randn(24, *r.shape[1:]) for r in told], told


@torch.no_grad()
def tokens(model, features, told, ages_s=(0.0,) * 5, grids=GRIDS):
    return model(features, told, torch.tensor(ages_s), grids)


def test_a_cells_ray_is_the_mean_of_its_pixels_and_of_unit_length():
    pixel_rays = np.zeros((3, 5, 6), np.float32)
    pixel_rays[..., 0] = 1.0
    pixel_rays[2, :2, :2] = [0.0, 1.0]
    pixel_rays[..., 3] = np.arange(5)
    found = cell_rays(torch.from_numpy(pixel_rays), 2)
    assert found.shape == (6, 2, 3)
    np.testing.assert_allclose(found[3], [[0.5, 2.5, 4.0], [0.5, 2.5, 4.0]])
    np.testing.assert_allclose(found[:3, 1, 0], [0, 1, 0])
    np.testing.assert_allclose(found[:3].square().sum(0), np.ones((2, 3)), rtol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_image_gets_as_many_tokens_as_its_grid_has_places(pooling):
    found = tokens(projector(pooling), *cells_of_five())
    assert [tuple(t.shape) for t in found] == [(8, 32), (3, 32), (8, 32), (16, 32), (8, 32)]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_cameras_tokens_depend_neither_on_order_nor_on_the_other_cameras(pooling):
    model, (features, told) = projector(pooling), cells_of_five()
    whole = tokens(model, features, told, (0.0, 0.5, 0.0, 1.0, 0.0))
    order = [3, 0, 4, 2]  # camera 1 dropped out
    other = tokens(
        model,
        [features[i] for i in order],
        [told[i] for i in order],
        (1.0, 0.0, 0.0, 0.0),
        [GRIDS[i] for i in order],
    )
    for index, found in zip(order, other, strict=True):
        torch.testing.assert_close(found, whole[index], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_wrong_extrinsic_an_age_and_no_ray_at_all_change_every_token(pooling):
    model, (features, told) = projector(pooling), cells_of_five()
    turned, moved = cells_of_five(turned_rad=0.05)[1], [r.clone() for r in told]
    for ray in moved:
        ray[4] += 0.3
    right = tokens(model, features, told)
    for wrong in (
        tokens(model, features, turned),
        tokens(model, features, moved),
        tokens(model, features, told, (0.5,) * 5),
        tokens(model, features, [None] * 5),
    ):
        for a, b in zip(right, wrong, strict=True):
            assert ((a - b).norm(dim=1) > 1e-2 * a.norm(dim=1)).all()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_place_of_a_lamp_decides_which_token_it_changes(pooling):
    model = projector(pooling)
    dark = torch.zeros(1, 24, 4, 8)
    lit = dark.clone()
    lit[0, 3, 0, 7] = 5.0  # upper right
    told = torch.zeros(6, 4, 8)
    change = tokens(model, [lit[0]], [told], (0.0,), [(2, 4)])[0]
    change = (change - tokens(model, [dark[0]], [told], (0.0,), [(2, 4)])[0]).norm(dim=1)
    assert int(change.argmax()) == 3 or pooling is Pooling.RESAMPLER
    assert change.max() > 1e-4


def test_one_cell_can_outweigh_its_window():
    """What the attention pool is for, and the average cannot do."""
    pool = projector(Pooling.ATTENTION).pool
    with torch.no_grad():
        for layer in (pool.scores, pool.values):
            layer.weight.zero_()
            layer.bias.zero_()
        pool.values.weight[:, 0] = 1.0
        pool.scores.weight[:, 0] = 4.0
        cells = torch.zeros(1, NANO.projector.width, 4, 8)
        cells[0, 0, 1, 1] = 1.0
        found = pool(cells, (1, 2))[0, 0, 0]
    assert found[0] > 0.5
    assert found[1] == 0.0


def test_rays_of_another_size_than_the_features_are_refused():
    features, told = cells_of_five()
    with pytest.raises(ModelError, match=r"image 1: rays must be \(6, 13, 20\)"):
        tokens(projector(), features, [told[0], told[3], *told[2:]])


def test_the_first_budget_that_covers_an_image_counts():
    config = ProjectorConfig(
        budgets=(
            Budget(6, 8, label="FRONT,", until_s=0.2),
            Budget(4, 8, until_s=0.2),
            Budget(1, 2),
        )
    )
    assert config.grid("CAM_FRONT, now:", 0.0) == (6, 8)
    assert config.grid("CAM_FRONT_LEFT, now:", 0.0) == (4, 8)
    assert config.grid("CAM_FRONT, 0.5 s ago:", 0.5) == (1, 2)


def test_budgets_that_leave_images_without_tokens_are_refused():
    with pytest.raises(ValueError, match="last budget must cover every image"):
        ProjectorConfig(budgets=(Budget(4, 8, until_s=0.2),))
