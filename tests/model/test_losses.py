"""Each loss equals its formula, is masked, and answers to its settings."""

import pytest
import torch
import torch.nn.functional as F

from coat_ray.experts.base import ClassifierHead, ContourHead
from coat_ray.model.losses import FocalSettings, bce, focal_bce, mse, mse_focal


@pytest.fixture
def frames() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])
    z_hat, z = torch.randn(2, 2, 4, 6)
    return z_hat * mask[..., None], z * mask[..., None], mask


def test_mse_is_the_mean_over_the_width_summed_over_real_frames(frames):
    z_hat, z, mask = frames
    expected = ((z_hat - z) ** 2)[mask].mean(-1).sum()
    torch.testing.assert_close(mse(z_hat, z, mask, None, FocalSettings())["mse"], expected)


def test_bce_compares_probabilities_of_the_frozen_head(frames):
    z_hat, z, mask = frames
    head = ClassifierHead(6, 3)
    p, y = head(z_hat).sigmoid(), head(z).sigmoid()
    expected = -(y * p.log() + (1 - y) * (1 - p).log())[mask].mean(-1).sum()
    torch.testing.assert_close(bce(z_hat, z, mask, head, FocalSettings())["bce"], expected)


def test_what_lies_behind_a_clip_changes_nothing(frames):
    z_hat, z, mask = frames
    head = ClassifierHead(6, 3)
    dirty = torch.where(mask[..., None], z_hat, torch.full_like(z_hat, 9.0))
    for loss in (mse, bce):
        clean, other = (loss(x, z, mask, head, FocalSettings()) for x in (z_hat, dirty))
        assert clean.keys() == other.keys()
        for name in clean:
            torch.testing.assert_close(clean[name], other[name])


def test_pitch_is_feature_mse_plus_weighted_focal_and_ignores_what_lies_behind_a_clip():
    torch.manual_seed(1)
    head, mask = ContourHead(), torch.tensor([[True, True, True, False]])
    z = torch.randn(1, 4, 8 * 264) * mask[..., None]
    z_hat = torch.randn(1, 4, 8 * 264)
    single = mse_focal(z_hat, z, mask, head, FocalSettings(weight=1.0))
    triple = mse_focal(z_hat, z, mask, head, FocalSettings(weight=3.0))
    torch.testing.assert_close(triple["focal"], 3 * single["focal"])
    torch.testing.assert_close(triple["mse"], single["mse"])
    cut = mse_focal(z_hat[:, :3], z[:, :3], mask[:, :3], head, FocalSettings())
    torch.testing.assert_close(single["focal"], cut["focal"], rtol=1e-4, atol=1e-6)


def test_focal_at_gamma_zero_and_even_alpha_is_half_the_cross_entropy():
    logits, target = torch.randn(50), torch.rand(50)
    expected = 0.5 * F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(focal_bce(logits, target, alpha=0.5, gamma=0.0), expected)


def test_focal_matches_the_published_formula_at_hard_labels():
    logits = torch.tensor([2.0, -1.0])
    p = logits.sigmoid()
    positive = -0.25 * (1 - p[0]) ** 2 * p[0].log()
    negative = -0.75 * p[1] ** 2 * (1 - p[1]).log()
    torch.testing.assert_close(
        focal_bce(logits, torch.tensor([1.0, 0.0]), alpha=0.25, gamma=2.0), torch.stack([positive, negative])
    )


def test_a_loss_that_needs_a_frozen_head_says_so(frames):
    z_hat, z, mask = frames
    with pytest.raises(ValueError, match="bce loss needs the teacher's frozen head"):
        bce(z_hat, z, mask, None, FocalSettings())
