"""`coat` says what it has, and says in one sentence what it cannot do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coat_ray import __version__, cli
from coat_ray.config import RunConfig
from coat_ray.registry.licences import Ingredient
from coat_ray.registry.metrics import append_metrics
from coat_ray.registry.models import ModelRegistry
from coat_ray.registry.runs import RunRegistry
from coat_ray.storage import Storage

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "jobs" / "configs" / "embedded.yaml"
CONFIG = RunConfig(name="trial", stages=[{"name": "one", "steps": 2}])


@pytest.fixture
def trained(coat_home, tmp_path):
    storage = Storage(coat_home)
    runs = RunRegistry(storage)
    run = runs.create(CONFIG, "coat")
    append_metrics(runs.metrics(run.id), {"step": 1, "ce": 2.5})
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "weights").write_text("w")
    part = Ingredient("expert", "spidr", "CC BY-NC 4.0", commercial_use=False)
    model = ModelRegistry(storage).add(
        "trial-coat", tmp_path / "adapter", base={}, ingredients=[part], alias="coat", lineage={"run": run.id}
    )
    return run, model


def test_help_names_every_verb_and_loads_nothing_heavy():
    script = (
        "import sys; from coat_ray import cli\n"
        "heavy = {'torch', 'ray', 'transformers', 'librosa', 'sqlalchemy', 'requests', 'pydantic'}\n"
        "try: sys.argv = ['coat', '--help']; cli.main()\n"
        "finally: print('heavy:', sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "heavy: []" in done.stdout
    here = ("ask", "config", "corpus", "experts", "encode", "train", "evaluate", "runs", "models")
    for verb in (*here, "up", "down", "login", "logout", "whoami", "tenants", "keys", "shares", "usage", "audit"):
        assert f" {verb} " in done.stdout


def test_version(coat):
    assert coat("--version") == (0, f"coat_ray {__version__}\n", "")


@pytest.mark.parametrize("group", ["runs", "models"])
def test_an_empty_registry_is_no_error(coat, group):
    code, out, _ = coat(group, "list")
    assert code == 0
    assert "make train" in out
    assert coat(group, "list", "--json")[1] == "[]\n"


def test_runs_are_listed_and_shown(coat, trained):
    run, _ = trained
    assert run.id in coat("runs", "list")[1]
    assert [r["id"] for r in json.loads(coat("runs", "list", "--json")[1])] == [run.id]
    shown = json.loads(coat("runs", "show", run.id, "--metrics")[1])
    assert shown["config"]["name"] == "trial"
    assert shown["metrics"] == [{"step": 1, "ce": 2.5}]
    assert json.loads(coat("runs", "show", run.id, "--json")[1])["last"] == {"step": 1, "ce": 2.5}


def test_a_run_that_goes_on_shows_its_last_figures_and_curves(coat, trained, tmp_path):
    run, _ = trained
    code, out, _ = coat("runs", "show", run.id, "--png", tmp_path / "curves.png")
    assert code == 0
    assert "created" in out
    assert "1 of 2" in out
    assert "ce 2.5" in out
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_runs_are_compared_side_by_side(coat, coat_home, trained):
    run, _ = trained
    runs = RunRegistry(Storage(coat_home))
    other = runs.create(CONFIG.model_copy(update={"seed": 1}), "coat")
    assert "nothing has been logged" in coat("runs", "show", other.id)[1]
    append_metrics(runs.metrics(other.id), {"step": 2, "ce": 1.5, "recon/mse": 0.5, "recon/grad": 3.0})
    out = coat("runs", "show", run.id, other.id)[1]
    assert "1 of 2" in out
    assert "2 of 2" in out
    assert out.count("1.5 … 2.5, step 0 … 2") == 2  # one axis for both
    assert "recon/mse 0.5" in out
    assert "recon/grad 3" not in out
    both = json.loads(coat("runs", "show", run.id, other.id, "--json")[1])
    assert [row["last"]["ce"] for row in both] == [2.5, 1.5]


def test_models_are_listed_with_their_terms(coat, trained):
    _, out, _ = coat("models", "list")
    assert "trial-coat@1" in out
    assert "CC BY-NC 4.0" in out
    listed = json.loads(coat("models", "list", "--json")[1])
    assert listed[0]["commercial_use"] is False
    assert listed[0]["restricted_by"] == ["expert spidr (CC BY-NC 4.0)"]


@pytest.mark.parametrize("ref", ["trial-coat", "trial-coat@1", "coat"])
def test_a_model_is_shown_by_name_version_and_alias(coat, trained, ref):
    shown = json.loads(coat("models", "show", ref)[1])
    assert shown["model"] == "trial-coat@1"
    assert Path(shown["adapter"], "weights").read_text() == "w"


def test_a_configuration_is_shown_whole_and_can_be_read_back(coat, tmp_path):
    code, out, _ = coat("config", "show", EMBEDDED, "optim.lr=0.5", "stages.0.steps=3")
    assert code == 0
    (tmp_path / "again.yaml").write_text(out)
    again = json.loads(coat("config", "show", tmp_path / "again.yaml", "--json")[1])
    assert again["optim"]["lr"] == 0.5
    assert again["stages"][0]["steps"] == 3
    assert again["lora"]["rank"] == 16


def test_the_experts_state_rate_width_and_licence(coat):
    rows = {row["name"]: row for row in json.loads(coat("experts", "list", "--json")[1])}
    assert set(rows) >= {"spidr", "panns", "emotion2vec", "basic_pitch"}
    assert rows["basic_pitch"]["width"] == 2112
    assert rows["panns"]["classes"] == 527
    assert all(row["licence"] and row["rate"] > 0 for row in rows.values())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["config", "show", "none.yaml"], "no configuration file at none.yaml"),
        (["config", "show", EMBEDDED, "optm.lr=1"], "unknown key 'optm'; did you mean 'optim'?"),
        (["train", EMBEDDED, "optm.lr=1"], "unknown key 'optm'; did you mean 'optim'?"),
        (["encode", EMBEDDED, "corpus.name=nowhere"], "no corpus 'nowhere'"),
        (["evaluate", EMBEDDED, "--model", "cot"], "no model 'cot'"),
        (["evaluate", EMBEDDED, "--model", "base", "--split", "tset"], "no split 'tset'"),
        (["runs", "show", "trial"], "no run 'trial'"),
        (["models", "show", "coat"], "no model 'coat'"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_leaves_nothing(coat, coat_home, arguments, sentence):
    code, out, err = coat(*arguments)
    assert code == 1
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1
    assert not (coat_home / "runs").exists()
    assert not (coat_home / "models").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["runs", "show"],
        ["runs", "list", "--jsn"],
        ["evaluate", EMBEDDED],
        ["evaluate", EMBEDDED, "--model", "base", "--block", "gone"],
    ],
)
def test_wrong_usage_is_exit_code_two(coat, arguments):
    code, _, err = coat(*arguments)
    assert code == 2
    assert "Usage:" in err


def test_training_outside_the_repository_says_where_to_go(coat, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = coat("train", EMBEDDED)
    assert code == 1
    assert "run it from the root of the repository" in err


def test_training_submits_the_main_job(coat, monkeypatch):
    monkeypatch.chdir(ROOT)
    submitted = []
    monkeypatch.setattr("coat_ray.local.job.main", lambda job: submitted.append(job) or 0)
    assert coat("train", EMBEDDED, "seed=3", "--no-evaluation")[0] == 0
    assert submitted == [
        ["python", "jobs/train.py", "--config", str(EMBEDDED), "seed=3", "evaluation.compare=false"],
    ]


def test_our_own_mistakes_keep_their_traceback(coat, monkeypatch):
    monkeypatch.setattr(cli, "app", lambda: {}["bug"])
    monkeypatch.setattr(sys, "argv", ["coat"])
    with pytest.raises(KeyError):
        cli.main()


def test_a_traceback_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("COAT_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["coat", "config", "show", "none.yaml"])
    with pytest.raises(ValueError, match="no configuration file"):
        cli.main()
