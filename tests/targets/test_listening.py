"""Teachers beside an answer: only exactly those that a model was trained with, on the grid of its block."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from coat_ray.config import ExpertConfig
from coat_ray.experts.registry import load_expert
from coat_ray.targets.align import block_length
from coat_ray.targets.listening import Listener

SIGNAL = (0.1 * np.random.default_rng(0).standard_normal(24_000)).astype(np.float32)
LENGTH = block_length(len(SIGNAL))


@pytest.fixture(scope="module")
def specs():
    return {
        role: load_expert(ExpertConfig(model=name)).spec for role, name in (("sed", "panns"), ("affect", "emotion2vec"))
    }


def test_each_teacher_hears_a_clip_on_the_grid_of_the_block(specs):
    heard = Listener().hear(specs, SIGNAL, LENGTH)
    assert {role: z.shape for role, z in heard.items()} == {role: (LENGTH, spec.width) for role, spec in specs.items()}


def test_a_teacher_is_loaded_once(specs):
    loads = []

    def load(config):
        loads.append(config.model)
        return load_expert(config)

    listener = Listener(load)
    for _ in range(2):
        listener.hear(specs, SIGNAL, LENGTH)
    assert sorted(loads) == ["emotion2vec", "panns"]


def test_a_teacher_that_is_not_the_one_of_training_is_left_out(specs):
    other = dataclasses.replace(specs["sed"], width=2048)
    unknown = dataclasses.replace(specs["sed"], name="of another group")
    assert Listener().hear({"sed": other, "new": unknown}, SIGNAL, LENGTH) == {}


def test_a_clip_that_is_too_short_for_one_teacher_is_heard_by_the_others(specs):
    short = SIGNAL[:1600]
    assert set(Listener().hear(specs, short, block_length(len(short)))) == {"affect"}
