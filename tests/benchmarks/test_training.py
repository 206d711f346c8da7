"""Every measurement of training at its smallest: what does not depend on the clock."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from benchmarks import block, full_size, full_size_answers, loop, trainer
from benchmarks.effort import FULL, TINY, Options
from benchmarks.measure import Line, apart
from benchmarks.student import SIZES, make_rows, saved_student
from benchmarks.training import MEASUREMENTS
from coat_ray.training.batches import Collator

OPTIONS = Options("cpu", TINY)


def here(function: Callable[..., Any], *arguments: Any) -> Any:
    """In place of ``apart``: in this process."""
    return function(*arguments)


def measured(folder: Path) -> dict[str, list[Line]]:
    """Lines of all measurements that need no Ray, in one process, because starting one takes the time."""
    os.environ["COAT_HOME"] = str(folder / "home")
    for module in (trainer, block, loop, full_size, full_size_answers):
        module.apart = here
    return {name: list(measure(folder, OPTIONS)) for name, measure in MEASUREMENTS.items() if name != "scaling"}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Line]]:
    return apart(measured, tmp_path_factory.mktemp("benchmark"))


def number(text: str) -> float:
    """The first number of a figure."""
    found = re.match(r"-?[\d.]+(e-?\d+)?", text)
    assert found is not None, text
    return float(found[0])


def test_the_trainer_computes_the_same_losses(lines: dict[str, list[Line]]) -> None:
    (difference,) = [line for line in lines["trainer"] if line.what.startswith("loss")]
    assert number(difference.value) <= 1e-5


def test_every_comparison_with_the_trainer_has_a_figure(lines: dict[str, list[Line]]) -> None:
    assert len({line.what for line in lines["trainer"]}) == 5
    speeds = [line for line in lines["trainer"] if not line.what.startswith(("loss", "peak memory"))]
    assert all(number(line.value) > 0 for line in speeds)
    memory = [number(line.value) for line in lines["trainer"] if line.what.startswith("peak memory")]
    assert len(memory) == 2  # of any size: so small a model fits where something else was before it


def test_the_plan_and_the_random_order_hold_the_same_rows(tmp_path: Path, coat_home: Path) -> None:
    manifest = make_rows(tmp_path / "rows", [3.0, 1.0, 2.0, 4.0, 1.5])
    planned = trainer._planned(manifest, saved_student(tmp_path, "tiny"), 1)
    assert sorted(planned) == ["0", "1", "2", "3", "4"]


def test_each_length_stands_beside_its_bound(lines: dict[str, list[Line]]) -> None:
    for line, seconds in zip(lines["block"], TINY.block_seconds, strict=True):
        audio, text = 25 * seconds, int(re.search(r"(\d+) text tokens", line.what)[1])
        assert line.wanted == f"bound {(2 * audio + text) / (audio + text):.2f}"
        assert number(line.value) > 0


def test_shares_of_the_loop_are_shares(lines: dict[str, list[Line]]) -> None:
    shares = [number(line.value) for line in lines["overhead"]]
    assert len(shares) == 3
    assert all(0 <= share < 100 for share in shares)


def test_two_workers_are_compared_with_one(ray_cluster: str, tmp_path: Path, coat_home: Path) -> None:
    with mock.patch.object(loop, "apart", here):
        (line,) = loop.scaling(tmp_path, OPTIONS)
    assert number(line.value) > 0


def test_the_full_size_measurement_runs_to_its_end_on_a_small_model(lines: dict[str, list[Line]]) -> None:
    (line,) = lines["gpu"]
    samples, used, memory = line.value.split(", ")
    assert float(samples) > 0
    assert used.startswith("unknown peak")
    assert memory == "not on a GPU"


def test_answers_at_full_size_are_measured_on_a_small_model(lines: dict[str, list[Line]]) -> None:
    first, whole, *others = lines["answers"]
    assert len(others) == 2 * (len(TINY.block_seconds) - 1)
    assert number(first.value) > 0
    assert first.wanted.startswith("bound 1.")
    assert number(whole.value) > 1, "reasoning in text takes longer than a block"


def test_the_full_size_is_not_run_without_a_gpu(tmp_path: Path) -> None:
    (line,) = full_size.gpu(tmp_path, Options("cpu", FULL))
    assert line.value.startswith("not run")


def test_the_operations_of_a_step_are_those_of_the_formula(tmp_path: Path, coat_home: Path) -> None:
    size, rank = SIZES["tiny"], 16
    model = full_size.random_model("tiny", torch.device("cpu"))
    batch = Collator(make_rows(tmp_path, [2.0, 4.0]), model.front, {}, block=True)(["0", "1"], ())
    wide, inner, outer = size.hidden, size.ffn, size.tower_hidden
    decoder = 4 * wide**2 + 3 * wide + 3 * wide * inner + 2 * wide
    lora = rank * (4 * 2 * wide + 3 * (wide + inner))
    tower = 4 * outer**2 + 3 * outer + 2 * outer * size.tower_ffn + size.tower_ffn + outer + 4 * outer
    tokens, answers = int(batch.attention_mask_BS.sum()), int(batch.response_mask_BS.sum())
    head = sum(p.numel() for p in model.heads.parameters())
    expected = (4 * decoder + 6 * lora) * tokens + 4 * wide * size.vocabulary * answers
    expected += 6 * head * (50 + 100) + 2 * tower * (100 + 200)
    assert full_size.model_flops(model, batch) == expected
