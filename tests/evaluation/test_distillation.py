"""The constant that a head must beat is really the best one."""

import pytest
import torch
import torch.nn.functional as F

from coat_ray.evaluation.distillation import best_constant
from coat_ray.experts.base import ClassifierHead, ContourHead
from coat_ray.model.losses import FocalSettings, focal_bce

FOCAL = FocalSettings(weight=2.0)


@pytest.fixture
def features() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(40, 6) * torch.linspace(0.5, 2, 6) + 1


def test_mse_is_lowest_at_the_mean(features):
    best = best_constant("mse", features, None, FOCAL)["mse"]
    assert best == pytest.approx(float((features - features.mean(0)).square().mean()), rel=1e-5)
    for shift in (0.05, -0.05):
        assert float((features - features.mean(0) - shift).square().mean()) > best


def test_bce_is_lowest_at_the_mean_probability(features):
    head = ClassifierHead(6, 3)
    teacher = head(features).sigmoid()
    best = best_constant("bce", features, head, FOCAL)["bce"]
    mean = teacher.mean(0)
    assert best == pytest.approx(float(F.binary_cross_entropy(mean.expand_as(teacher), teacher)), rel=1e-4)
    for factor in (0.9, 1.1):
        assert float(F.binary_cross_entropy((mean * factor).expand_as(teacher), teacher)) > best


def test_no_constant_posteriorgram_beats_the_focal_bound_by_more_than_the_grid():
    torch.manual_seed(1)
    head, z = ContourHead(), torch.randn(12, 8 * 264)
    best = best_constant("mse_focal", z, head, FOCAL)["focal"]
    teacher = head(z[None])[0].sigmoid()
    logits = teacher.mean(0).logit().clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(200):
        loss = FOCAL.weight * focal_bce(logits.expand_as(teacher), teacher, FOCAL.alpha, FOCAL.gamma).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert best == pytest.approx(float(loss), rel=0.05)
