"""`coat evaluate --benchmark` from the command line to the report, with the embedded base model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from coat_ray.config import CorpusConfig, EvaluationConfig, ResourcesConfig, RunConfig, StageConfig
from coat_ray.corpus.builtin import MANIFESTS
from coat_ray.corpus.manifest import ManifestError, Message, Row, write_manifest
from coat_ray.evaluation import campaign as campaigns
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.campaign import Campaign, run_campaign
from coat_ray.evaluation.leakage import LeakageError
from coat_ray.evaluation.request import EvaluationRequest, evaluate_request, without_effect
from coat_ray.registry.models import ModelNotFound
from coat_ray.storage import Storage
from tests.evaluation.benchmarks.datasets_of_ours import Listening, wav, write_parquet

FILLED_UP = 60
"""Audio tokens of the embedded base's shortest clip: it is heard with silence up to 2.4 s."""


@pytest.fixture
def config_file(tmp_path) -> Path:
    """A run whose corpus has one clip, which no benchmark of ours holds."""
    (tmp_path / "0.wav").write_bytes(wav(20))
    turns = (Message(role="user", content="<audio>\nwhich note?"), Message(role="assistant", content="a"))
    row = Row(id="r", messages=turns, audios=("0.wav",), task="music", seconds=0.4)
    for name in MANIFESTS:
        write_manifest([row], tmp_path / name)
    path = tmp_path / "run.yaml"
    path.write_text(f"name: toy\ncorpus: {{name: {tmp_path}}}\nstages: [{{name: one, steps: 1}}]\n")
    return path


@pytest.fixture
def config(config_file) -> RunConfig:
    return RunConfig(
        name="toy",
        corpus=CorpusConfig(name=str(config_file.parent)),
        stages=(StageConfig(name="one", steps=1),),
    )


@pytest.mark.slow
def test_the_embedded_base_is_asked_and_reported(coat, config_file, tmp_path) -> None:
    write_parquet("mmau", tmp_path / "data")
    write_parquet("librispeech_clean", tmp_path / "data")
    code, out, err = coat(
        *("evaluate", config_file, "--model", "base", "--data", tmp_path / "data", "--report", tmp_path / "report"),
        *("--benchmark", "mmau", "--benchmark", "librispeech_clean", "--benchmark", "soundworld"),
    )
    assert code == 0, err
    assert "librispeech_clean (WER, lower is better)" in out
    assert "report:" in out
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert set(data) == {"scores", "skills", "benchmarks", "heard"}
    assert data["benchmarks"]["base"]["mmau"]["audio_tokens"] == 3 * FILLED_UP
    samples = (tmp_path / "report" / "base" / "samples_mmau.jsonl").read_text().splitlines()
    assert all(json.loads(line)["audio_tokens"] == FILLED_UP for line in samples)
    assert "data:audio/flac" in (tmp_path / "report" / "report.html").read_text()


def hearing(says):
    class Loader:
        def __init__(self, model, campaign, backbone, storage) -> None:
            self.model = model

        def __call__(self, manifest):
            return Listening(manifest.resolve, says.get(self.model, lambda row: f"({row.meta['target']})"))

    return Loader


def test_models_are_asked_the_same_and_compared(config, tmp_path, monkeypatch) -> None:
    write_parquet("mmau", tmp_path / "data")
    monkeypatch.setattr(campaigns, "_Loader", hearing({"worse": lambda row: "(A)"}))
    monkeypatch.setattr(campaigns, "_check", lambda campaign, storage: None)
    wanted = Campaign(models=["good", "worse"], benchmarks=["mmau"], data=tmp_path / "data")
    good, worse = run_campaign(wanted, config, Storage(tmp_path / "home"))
    assert (good.model, good.score(good.strict).value) == ("good", 1)
    assert worse.score(worse.strict).value == pytest.approx(1 / 3)
    again = run_campaign(wanted, config, Storage(tmp_path / "home"))
    assert [result.answers for result in again] == [good.answers, worse.answers]


def test_a_leak_stops_a_campaign_before_a_model_is_opened(config, tmp_path, monkeypatch) -> None:
    write_parquet("mmau", tmp_path / "data")
    (tmp_path / "0.wav").write_bytes(wav(1))
    monkeypatch.setattr(campaigns, "_Loader", None)
    wanted = Campaign(models=["base"], benchmarks=["mmau"], data=tmp_path / "data")
    with pytest.raises(LeakageError, match="test q1, train r"):
        run_campaign(wanted, config, Storage(tmp_path / "home"))


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"benchmarks": ["mmua"]}, EvaluationError, "no benchmark 'mmua'; there are soundworld, mmau"),
        ({"models": []}, EvaluationError, "at least one model"),
        ({"models": ["base", "base"]}, EvaluationError, "each once"),
        ({"server": "http://127.0.0.1:9", "treatment": "removed"}, EvaluationError, "would be no ablation"),
        ({"models": ["caot"]}, ModelNotFound, "no model 'caot'"),
        ({"data": None}, ValueError, r"to obtain mmau: datasets\.load_dataset"),
    ],
)
def test_what_must_fail_fails_before_anything_heavy(config, tmp_path, change, error, sentence) -> None:
    wanted = Campaign(**{"models": ["base"], "benchmarks": ["mmau"], "data": tmp_path / "data"} | change)
    with pytest.raises(error, match=sentence):
        run_campaign(wanted, config, Storage(tmp_path / "home"))


def test_the_command_line_says_in_one_line_how_to_obtain_data(coat, config_file) -> None:
    code, out, err = coat("evaluate", config_file, "--model", "base", "--benchmark", "switchboard")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "LDC2002S09" in err
    code, _, err = coat("evaluate", config_file, "--model", "base", "--data", config_file.parent)
    assert code == 2
    assert "no published benchmark is asked" in err


def test_actors_get_the_resources_of_a_worker_and_the_model_is_identified_once(config, tmp_path, monkeypatch) -> None:
    pools, identified = [], []

    class Pool:
        def __init__(self, load, actors, cpus, gpus) -> None:
            self.load = load
            pools.append((actors, cpus, gpus))

        def identity(self) -> str:
            identified.append(self)
            return "toy"

        def stream(self, batches, max_new_tokens):
            return (self.load().answer(batch, max_new_tokens) for batch in batches)

    for name in ("mmau", "gtzan"):
        write_parquet(name, tmp_path / "data")
    monkeypatch.setattr(campaigns, "RayPool", Pool)
    monkeypatch.setattr(campaigns, "_Loader", hearing({}))
    config = config.model_copy(update={"resources": ResourcesConfig(cpus_per_worker=2, gpus_per_worker=0.5)})
    wanted = Campaign(models=["base"], benchmarks=["mmau", "gtzan"], data=tmp_path / "data", actors=3)
    assert len(run_campaign(wanted, config, Storage(tmp_path / "home"))) == 2
    assert pools == [(3, 2, 0.5)] * 2
    assert len(identified) == 1
    pools.clear()
    run_campaign(replace(wanted, server="http://127.0.0.1:9"), config, Storage(tmp_path / "home"))
    assert pools == [(3, 2, 0)] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"server": "http://127.0.0.1:9", "benchmarks": ["mmau"], "allow_leaks": True}, "--allow-leaks has no effect"),
        ({"benchmarks": ["mmau"], "split": "validation"}, "--split validation has no effect"),
        ({"benchmarks": ["mmau", "soundworld"], "actors": 2}, "--actors 2 has no effect on soundworld"),
        ({"benchmarks": ["mmau"], "judges": ["j@http://127.0.0.1:9"]}, "--judge has no effect"),
    ],
)
def test_an_option_without_effect_is_named(config_file, given, said) -> None:
    [line] = without_effect(EvaluationRequest(config_file, ["base"], **given))
    assert said in line


def test_what_has_no_effect_is_said_before_anything_is_done(config_file, tmp_path, caplog) -> None:
    request = EvaluationRequest(config_file, ["base"], benchmarks=["mmau"], split="validation")
    with pytest.raises(ManifestError, match="to obtain mmau"):
        evaluate_request(request, Storage(tmp_path / "home"))
    assert ["--split validation" in line for line in caplog.messages] == [True]


def test_options_that_have_an_effect_are_not_named(config_file) -> None:
    given = {"benchmarks": ["soundworld", "alpaca_audio"], "split": "validation", "judges": ["j@http://127.0.0.1:9"]}
    assert without_effect(EvaluationRequest(config_file, ["base"], allow_leaks=True, **given)) == []


@pytest.mark.slow
def test_actors_of_the_real_model_answer_as_one_does(config, tmp_path, ray_cluster) -> None:
    write_parquet("gtzan", tmp_path / "data")
    config = config.model_copy(update={"evaluation": EvaluationConfig(batch_rows=1)})
    files = []
    for actors in (0, 2):
        storage = Storage(tmp_path / f"home{actors}")
        wanted = Campaign(models=["base"], benchmarks=["gtzan"], data=tmp_path / "data", actors=actors)
        (result,) = run_campaign(wanted, config, storage)
        assert [answer.audio_tokens for answer in result.answers] == [FILLED_UP] * 3
        files += [path.read_bytes() for path in storage.root.rglob("base-*.jsonl")]
    assert len(files) == 2
    assert files[0] == files[1]
