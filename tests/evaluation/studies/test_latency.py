"""The latency study: what is measured, what is computed from it, and the bound."""

from __future__ import annotations

import copy
import dataclasses
import statistics

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.studies.latency import (
    BLOCK_OFF,
    COAT,
    TEXT_COT,
    VANILLA,
    ClipMaker,
    LatencyPlan,
    Measurement,
    PrefillCost,
    arms_of,
    measure,
    plan_trials,
)
from coat_ray.evaluation.studies.latency_report import bound_table, model_table, plot, range_table
from coat_ray.inference.engine import Engine
from coat_ray.inference.limits import EngineLimits
from coat_ray.model.backbones import load_backbone
from coat_ray.storage import Storage
from tests.inference.made import CONFIG, make_model, save

SMALL = LatencyPlan(ranges=((0, 3), (30, 34)), points=(1, 3), seeds=1, clips=1, answer_tokens=3, reasoning_tokens=5)


@pytest.fixture(scope="module")
def base():
    return load_backbone(CONFIG).eval()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = corpus_folder("soundworld-mini", Storage(tmp_path_factory.mktemp("corpora")))
    return ClipMaker(read_manifest(folder / "test.jsonl"), 16_000)


@pytest.fixture(scope="module")
def measured(base, clips, tmp_path_factory) -> list[Measurement]:
    source = save(make_model(base, 4, seed=0), tmp_path_factory.mktemp("adapter"), "a")
    with Engine(copy.deepcopy(base), CONFIG, EngineLimits(rows=1, heard_bytes=0)) as engine:
        return measure(engine, arms_of(source), clips, SMALL)


def test_every_arm_is_asked_about_every_clip_of_the_plan(measured):
    trials = plan_trials(SMALL)
    for arm in (VANILLA, COAT, TEXT_COT, BLOCK_OFF):
        asked = [(m.label, m.seconds, m.seed) for m in measured if m.arm == arm]
        assert asked == [(t.label, t.seconds, t.seed) for t in trials]


def test_the_arms_differ_by_the_block_and_by_the_reasoning_alone(measured):
    for number in range(len(plan_trials(SMALL))):
        vanilla, coat, reasoned, off = (
            [m for m in measured if m.arm == arm][number] for arm in (VANILLA, COAT, TEXT_COT, BLOCK_OFF)
        )
        assert coat.block == coat.audio + 2
        assert coat.prompt == vanilla.prompt + coat.block == off.prompt + coat.block
        assert coat.tokens == vanilla.tokens == off.tokens == SMALL.answer_tokens
        assert coat.reasoning == 0
        assert reasoned.tokens == reasoned.reasoning + SMALL.answer_tokens
        assert reasoned.reasoning > SMALL.reasoning_tokens  # the cue that ends it counts too


def test_what_the_base_does_not_hear_is_said(measured):
    long = [m for m in measured if m.label == "30-34 s"]
    assert {m.heard for m in long} == {30.0}
    assert {m.audio for m in long} == {750}
    assert "cut" in range_table(measured, SMALL).notes[-1]


def test_a_plan_draws_the_same_durations_inside_their_ranges():
    trials = plan_trials(LatencyPlan())
    assert trials == plan_trials(LatencyPlan())
    for trial in trials:
        low, high = (float(v) for v in trial.label.removesuffix(" s").split("-")) if "-" in trial.label else (0, 999)
        assert low < trial.seconds <= high
    seeds = {seed: [t.seconds for t in trials if t.seed == seed and "-" in t.label] for seed in range(3)}
    assert seeds[0] != seeds[1] != seeds[2]


def test_a_made_clip_is_as_long_as_wanted_and_not_silent(clips):
    signal = clips.make(7.3, np.random.default_rng(0))
    assert len(signal) == 116_800
    assert np.abs(signal[-16_000:]).max() > 0.01


def test_an_engine_that_remembers_is_refused(base, clips, tmp_path):
    source = save(make_model(base, 4, seed=0), tmp_path, "a")
    with Engine(copy.deepcopy(base), CONFIG, EngineLimits(rows=1)) as engine, pytest.raises(EvaluationError):
        measure(engine, arms_of(source), clips, SMALL)


def test_the_prefill_bound_counts_what_torch_counts(base):
    """Attention through plain matrix products, which torch's counter sees on every device."""
    cost = PrefillCost.of(base)
    for positions in (7, 60):
        x_BSD = torch.randn(1, positions, base.hidden_size)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            base.decode(x_BSD, torch.ones(1, positions, dtype=torch.long))
        assert cost.flops(positions) == pytest.approx(counter.get_total_flops(), rel=0.02)


def made(arm: str, seed: int, ttft: float, **more) -> Measurement:
    facts = {"label": "1 s", "seconds": 1.0, "heard": 1.0, "audio": 25, "block": 0, "prompt": 40, "encode": 0.1}
    facts |= {"prefill": ttft / 2, "decode": 1.0, "total": ttft + 1.0, "tokens": 4, "reasoning": 0}
    return Measurement(arm=arm, seed=seed, ttft=ttft, **(facts | more))


def test_the_bound_multiplies_the_prefill_and_nothing_else():
    plan = LatencyPlan(ranges=(), points=(1,), seeds=2)
    arms = {VANILLA: (1.0, 2.0), COAT: (1.5, 3.5), BLOCK_OFF: (1.0, 2.0), TEXT_COT: (1.0, 1.0)}
    data = [made(arm, seed, ttft) for arm, times in arms.items() for seed, ttft in enumerate(times)]
    entry = bound_table(data, plan, PrefillCost(weights=100, attention=0)).data["1 s"]
    assert entry["positions_ratio"] == entry["prefill_flops_ratio"] == pytest.approx((2 * 25 + 2 + 15) / 40)
    assert entry["ttft_bound"] == pytest.approx((0.5 + 0.5 * 67 / 40, 0))
    ratios = (1.5 / 1.0, 3.5 / 2.0)
    assert entry["ttft_over_vanilla"] == pytest.approx((statistics.fmean(ratios), statistics.stdev(ratios)))
    assert entry["total_text_cot_over_coat"][0] == pytest.approx(statistics.fmean((2.0 / 2.5, 2.0 / 4.5)))


def test_means_are_taken_under_a_seed_first():
    plan = LatencyPlan(ranges=((0, 10),), points=(), seeds=2)
    label = {"label": "0-10 s"}
    data = [made(VANILLA, seed, ttft, **label) for seed, ttft in [(0, 0.1), (0, 0.3), (1, 0.4)]]
    mean, deviation = model_table(data, plan).data[VANILLA]["ttft"]
    assert (mean, deviation) == pytest.approx((0.3, statistics.stdev([0.2, 0.4])))


def test_the_tables_have_a_row_for_each_arm_and_range_and_the_plot_is_a_picture(measured, tmp_path):
    assert [row[0] for row in model_table(measured, SMALL).rows] == [VANILLA, COAT, TEXT_COT, BLOCK_OFF]
    assert len(range_table(measured, SMALL).rows) == 2 * 4
    plot(measured, SMALL, tmp_path / "latency.png")
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


def test_more_operations_for_longer_clips():
    cost = PrefillCost(weights=1000, attention=10)
    ratios = [cost.ratio(audio, 20) for audio in (25, 250, 750)]
    assert ratios == sorted(ratios)
    assert cost.ratio(750, 20) > 1.9
    assert dataclasses.replace(cost, attention=0).ratio(750, 20) < cost.ratio(750, 20)
