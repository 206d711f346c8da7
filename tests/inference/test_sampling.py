"""Tokens are drawn as the probabilities say, and a seed fixes them."""

import pytest
import torch

from coat_ray.inference.errors import RequestRefused
from coat_ray.inference.requests import Sampling
from coat_ray.inference.sampling import Sampler, next_tokens

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


def draws(count: int, **sampling) -> list[int]:
    sampler = Sampler(Sampling(**sampling))
    return [sampler.draw(LOGITS) for _ in range(count)]


def test_tokens_come_as_often_as_they_are_probable():
    shares = torch.bincount(torch.tensor(draws(4000, temperature=1, seed=1)), minlength=4) / 4000
    torch.testing.assert_close(shares, LOGITS.exp(), atol=0.03, rtol=0)


def test_a_low_temperature_takes_the_most_probable_token():
    assert set(draws(200, temperature=0.01, seed=2)) == {0}


def test_top_p_leaves_out_the_tail():
    assert set(draws(500, temperature=1, top_p=0.79, seed=3)) == {0, 1}
    assert set(draws(500, temperature=1, top_p=0.01, seed=3)) == {0}


def test_the_same_seed_draws_the_same_and_another_one_another():
    assert draws(50, temperature=1, seed=4) == draws(50, temperature=1, seed=4)
    assert draws(50, temperature=1, seed=4) != draws(50, temperature=1, seed=5)


def test_rows_of_a_batch_draw_each_for_itself():
    samplers = [Sampler(Sampling()), Sampler(Sampling(temperature=1, seed=6)), Sampler(Sampling(temperature=1, seed=7))]
    together = [next_tokens(LOGITS.expand(3, -1), samplers) for _ in range(30)]
    assert [row[0] for row in together] == [0] * 30
    assert [row[1] for row in together] == draws(30, temperature=1, seed=6)
    assert [row[2] for row in together] == draws(30, temperature=1, seed=7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_p": 1.5},
        {"stop": ("",)},
        {"stop": ("a",) * 17},
        {"max_reasoning_tokens": 0},
    ],
)
def test_values_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(RequestRefused, match=next(iter(wrong)).split("_")[0]):
        Sampling(**wrong)
