"""The vLLM engine answers as the transformers engine does. Runs where ``make vllm-env`` was; CI has no vLLM."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from coat_ray.config import BackboneConfig
from coat_ray.inference.engine import Engine
from coat_ray.inference.vllm.asking import marked_once
from coat_ray.inference.vllm.base import Base
from coat_ray.inference.vllm.limits import VllmLimits
from coat_ray.inference.vllm.rows import moved, spare_rows
from coat_ray.model.block import BlockIds
from tests.vllm.asks import NAMES, RANKS, TOO_HIGH, asks, told
from tests.vllm.made import make_adapters, make_base, merge

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("COAT_VLLM_PYTHON", ROOT / ".venv-vllm" / "bin" / "python"))
needs_vllm = pytest.mark.skipif(not PYTHON.exists(), reason="no vLLM here: make vllm-env")
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A base, its adapters, and one of them merged into it."""
    folder = tmp_path_factory.mktemp("models")
    config = make_base(folder / "base")
    sources = make_adapters(config, folder / "adapters", (*RANKS, TOO_HIGH))
    (folder / "adapters" / "broken").mkdir()
    (folder / "adapters" / "broken" / "heads.json").write_text('{"block": true}')
    merge(config, RANKS[1], 1, folder / "merged")
    return folder, config, sources


@pytest.fixture(scope="module")
def ours(models):
    _, config, sources = models
    with Engine.open(config) as engine:
        handles = {name: engine.submit(request) for name, request in asks(sources[:-1]).items()}
        return {name: told(handle) for name, handle in handles.items()}


@pytest.fixture(scope="module")
def theirs(models):
    folder = models[0]
    command = [str(PYTHON), "-m", "tests.vllm.answering", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    return json.loads((folder / "vllm.json").read_text())


@needs_vllm
@slow
@pytest.mark.parametrize("name", NAMES)
def test_a_greedy_answer_is_that_of_the_transformers_engine(name, ours, theirs):
    assert ours[name]["tokens"]
    assert theirs["many"]["answers"][name] == ours[name]


@needs_vllm
@slow
def test_the_adapters_say_different_things(ours):
    said = [tuple(ours[f"{who} about 0"]["tokens"]) for who in ("base", "a0", "a1", "a2")]
    assert len(set(said)) == len(said)


@needs_vllm
@slow
def test_a_merged_model_answers_as_its_adapter_does_and_takes_no_other(ours, theirs):
    assert theirs["merged"]["answers"] == [ours["a1 about 0"], ours["a1 about 1"]]
    assert theirs["merged"]["why"].startswith("AdapterRefused: a1: this engine answers with one merged model")


@needs_vllm
@slow
def test_adapters_go_and_come_again_when_there_are_more_than_places(ours, theirs):
    many = theirs["many"]
    assert len(many["stats"]["adapters"]) == 2
    assert many["stats"]["adapter_evictions"] == many["stats"]["adapter_loads"] - 2 > 0
    assert (many["stats"]["waiting"], many["stats"]["running"]) == (0, 0)
    assert many["after"] == ours["a2 about 0"]


@needs_vllm
@slow
def test_a_seed_fixes_an_answer(theirs):
    first, again, other = theirs["many"]["drawn"]
    assert first == again != other


@needs_vllm
@slow
def test_what_vllm_cannot_give_is_refused_with_a_sentence(theirs):
    why = theirs["many"]["why"]
    assert "does not hand out the states of the block" in why["thinking"]
    assert why["clips"].startswith("RequestRefused: a request has at most 2 clips")
    assert why["rank"].startswith(f"AdapterRefused: a3: its rank is {TOO_HIGH}, and this engine was started for 16")
    assert why["broken"].startswith("AdapterRefused: broken: its files are missing or damaged")
    assert "another base" in why["base"]


@needs_vllm
@slow
def test_what_nobody_waits_for_is_given_up(theirs):
    assert theirs["many"]["why"]["cancelled"].startswith("RequestCancelled")
    assert theirs["many"]["why"]["deaf"].startswith("RequestCancelled")


@needs_vllm
@slow
def test_draining_answers_what_is_there_and_takes_no_more(theirs):
    assert theirs["many"]["drained"] == [True, True, False]
    assert theirs["many"]["why"]["drained"].startswith("EngineStopped")


@needs_vllm
@slow
def test_times_are_those_of_the_request_and_the_tower_is_not_told_apart(theirs):
    timings = theirs["many"]["timings"]
    assert timings["encode"] is timings["cached_clips"] is None
    assert 0 < timings["prefill"] < timings["ttft"] < timings["total"]
    assert timings["ttft"] >= timings["queue"] + timings["prefill"] - 0.05  # two clocks: vLLM's process and ours


def test_blocks_take_the_spare_rows_three_by_three():
    places = spare_rows(515, 576, 100)
    assert len(places) == (576 - 515) // 3
    assert places[0] == BlockIds(515, 516, 517)
    assert max(places[-1].as_list()) < 576
    assert spare_rows(515, 576, 2) == places[:2]
    assert spare_rows(10, 12, 1) == []
    assert moved([1, 512, 513, 513, 514, 2], BlockIds(512, 513, 514), places[1]) == [1, 518, 519, 519, 520, 2]


def test_a_clip_is_marked_once():
    ids, audio = [1, 4, 4, 4, 4, 4, 2], [False, *[True] * 5, False]
    assert marked_once([*ids, 7, 8], audio, [2, 3]) == [1, 4, 4, 2, 7, 8]
    assert marked_once(ids, [False] * 7, []) == ids


def test_a_base_that_does_not_fit_is_a_sentence():
    with pytest.raises(ValueError, match="the vLLM engine runs qwen2_audio"):
        Base.of(BackboneConfig(family="qwen2_5_omni", weights="somewhere"), VllmLimits())
    with pytest.raises(ValueError, match="spare rows for the blocks of 20 adapters, not of 21"):
        Base.of(BackboneConfig(), VllmLimits(adapters=21))
