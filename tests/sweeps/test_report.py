"""A report holds what the trials say, its best.yaml is what the best trial ran, and it can be made again."""

import base64
import csv
import io
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from coat_ray.config import RunConfig, SweepConfig, load_config
from coat_ray.evaluation.reports import figures
from sweeps import report
from sweeps.findings import NO_PICTURES
from sweeps.record import BASE, RECORD, TRIALS, SweepRecord, write_record
from sweeps.report import to_csv, write_report
from sweeps.results import write_results
from sweeps.spaces import Point, apply, base_config

from .objects import seeds, trial

HOSTILE = "</td><script>alert(1)</script> | `x`"
EMBEDDED = {"run": str(Path(__file__).parents[2] / "jobs" / "configs" / "embedded.yaml"), "set": ("arms=[coat]",)}
PITCH, LR = "stages.1.weights.pitch", "optim.lr"


@pytest.fixture(scope="module")
def record():
    space = {PITCH: {"log_uniform": [0.1, 10.0]}, LR: {"choice": [0.001, 0.002]}}
    search = {"algorithm": "random", "trials": 4}
    return SweepRecord(command="typed <this>", sweep=SweepConfig(name="demo", space=space, search=search, **EMBEDDED))


@pytest.fixture(scope="module")
def results():
    drawn = {"a": (0.5, 0.001, 0.40), "b": (2.0, 0.002, 0.60), "c": (8.0, 0.001, 0.50), "d": (0.1, 0.002, 0.30)}
    found = [
        result
        for point, (pitch, lr, score) in drawn.items()
        for result in seeds(
            point,
            score,
            score + 0.02,
            params={PITCH: pitch, LR: lr},
            state="stopped" if point == "d" else "done",
            curve=((50, score / 2), (100, score)),
            step_seconds=0.3,
            seconds=1800.0,
            cpus=2.0,
        )
    ]
    return [*found, trial("e", 0, None, state="failed", reason=HOSTILE, params={PITCH: 1.0, LR: 0.001})]


@pytest.fixture(scope="module")
def made(tmp_path_factory, record, results):
    """The folder of a report with pictures."""
    return write_report(tmp_path_factory.mktemp("made"), record, results).parent


@pytest.fixture
def undrawn(monkeypatch):
    """No matplotlib, where a test asks nothing about pictures: they take longer than all else."""
    monkeypatch.setattr(figures, "can_draw", lambda: False)


@pytest.fixture
def ladder():
    variants = [{"name": "base", "train": False}, {"name": "sft", "set": ["arms=[sft]"]}, {"name": "all"}]
    sweep = SweepConfig(name="ladder", variants=variants, seeds=(0, 1, 2), **EMBEDDED)
    results = [
        *seeds("z-all", 0.50, 0.52, 0.54, variant="all"),
        trial("y-base", 0, 0.30, variant="base", steps=0),
        *seeds("x-sft", 0.55, 0.56, 0.58, variant="sft", params={"arms": ["sft"]}),
    ]
    return SweepRecord(command="x", commit="416ccc5", sweep=sweep), results


def _run(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", ["x", *map(str, arguments)])
    module.main()


def test_the_page_is_one_file_with_the_pictures_that_lie_beside_it(made):
    page = (made / "report.html").read_text()
    inside = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]
    assert {path.stem for path in made.glob("*.png")} == set(report.PICTURES)
    assert sorted(inside) == sorted(path.read_bytes() for path in made.glob("*.png"))
    assert all(Image.open(io.BytesIO(png)).width > 400 for png in inside)
    assert len(re.findall(r"<img [^>]*alt=\"[^\"]{30,}\"", page)) == len(inside)


def test_the_page_asks_nothing_of_the_network(made):
    page = re.sub(r"base64,[^\"]+", "", (made / "report.html").read_text())
    assert "http" not in page
    assert "//" not in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "typed &lt;this&gt;" in page
    assert "<title>Sweep demo</title>" in page


def test_the_tables_are_in_markdown_with_the_figures_of_the_trials(made):
    text = (made / "report.md").read_text()
    assert "- Trials: 9 (6 done, 2 stopped, 1 failed) of 5 points" in text
    assert "- b: mean accuracy in % 61.0 [48.3, 73.7], stages.1.weights.pitch=2, optim.lr=0.002." in text
    assert "| all | 9 | 900 | 4.00 | 8.00 | 0.00 |" in text
    assert "<script" not in text
    assert "on the validation split" in text


def test_the_best_configuration_is_what_its_trial_ran(made, record):
    best = load_config(made / "best.yaml", RunConfig)
    ran = apply(record.sweep, Point({PITCH: 2.0, LR: 0.002}), 0)
    assert best == ran.model_copy(update={"name": "demo-best"})  # a training under the trial's name would be the trial
    assert (best.stages[1].weights["pitch"], best.optim.lr, best.seed) == (2.0, 0.002, 0)
    assert best != base_config(record.sweep)


def test_the_training_job_takes_the_best_configuration_unchanged(made, monkeypatch, record):
    from jobs import train

    taken = []
    monkeypatch.setattr(train, "run_in_turn", lambda config, storage, console: taken.append(config))
    monkeypatch.setattr("signal.signal", lambda *handler: None)
    _run(monkeypatch, train, "--config", made / "best.yaml")
    ran = apply(record.sweep, Point({PITCH: 2.0, LR: 0.002}), 0)
    assert taken == [ran.model_copy(update={"name": "demo-best"})]


@pytest.mark.usefixtures("undrawn")
def test_the_first_finished_seed_is_taken_and_not_the_luckiest(tmp_path, record):
    params = {"params": {PITCH: 1.0, LR: 0.001}}
    write_report(tmp_path, record, [trial("a", 0, state="stopped", **params), *_later("a", 0.2, 0.9, **params)])
    assert load_config(tmp_path / "best.yaml", RunConfig).seed == 1


def _later(point, *scores, **other):
    return [trial(point, seed, score, **other) for seed, score in enumerate(scores, start=1)]


@pytest.mark.usefixtures("undrawn")
def test_the_ladder_goes_in_the_declared_order_and_says_where_an_order_does_not_appear(tmp_path, ladder):
    write_report(tmp_path, *ladder)
    text = (tmp_path / "report.md").read_text()
    table = text[text.index("### Ablation") :]
    assert [line.split("|")[1].strip() for line in table.splitlines()[4:7]] == ["base", "sft", "all"]
    assert (
        "sft minus base: +26.3 [+22.5, +30.1] points over 3 seeds; the interval excludes zero: sft is better." in text
    )
    assert "all minus sft: -4.3 [-5.8, -2.9] points over 3 seeds; the interval excludes zero: all is worse." in text
    assert "do not improve at each step of the declared order: all is not better than sft." in text
    assert "- Commit: 416ccc5" in text
    assert load_config(tmp_path / "best.yaml", RunConfig).arms == ("sft",)


def test_declared_points_have_no_importances_and_no_parallel_coordinates(tmp_path, ladder):
    write_report(tmp_path, *ladder)
    assert {path.stem for path in tmp_path.glob("*.png")} == {"scores"}
    assert "Importance" not in (tmp_path / "report.md").read_text()


@pytest.mark.usefixtures("undrawn")
def test_without_matplotlib_the_report_has_no_pictures_not_even_old_ones_and_says_so(tmp_path, record, results):
    (tmp_path / "scores.png").write_bytes(b"of an earlier report")
    page = write_report(tmp_path, record, results).read_text()
    assert list(tmp_path.glob("*.png")) == []
    assert "<img" not in page
    assert NO_PICTURES.split("(")[0] in page


def test_when_all_failed_there_is_no_best_and_none_of_an_earlier_report(tmp_path, record, results):
    (tmp_path / "best.yaml").write_text("name: earlier\n")
    page = write_report(tmp_path, record, results[-1:]).read_text()
    assert "No trained trial has a score" in page
    assert "matplotlib" not in page
    assert not (tmp_path / "best.yaml").exists()


def test_a_trade_off_is_shown_as_its_front_and_the_best_is_the_best_score(tmp_path, record):
    traded = {"objective": {"cost": "step_seconds"}, "search": {"algorithm": "tpe", "trials": 5}}
    sweep = SweepConfig.model_validate(record.sweep.model_dump(exclude={"search", "objective"}) | traded)
    known = {
        "quick": (0.4, 0.1),
        "between": (0.5, 0.2),
        "beaten": (0.45, 0.3),
        "slow": (0.6, 0.4),
        "as slow": (0.5, 0.4),
    }
    results = [
        trial(name, 0, score, step_seconds=seconds, params={PITCH: score, LR: 0.001})
        for name, (score, seconds) in known.items()
    ]
    page = write_report(tmp_path, SweepRecord(command="x", sweep=sweep), results).read_text()
    _, table = (tmp_path / "report.md").read_text().split("\n### Score against time of a step (Pareto front)")
    rows = [line.split(" | ")[0] for line in table.split("\n### ")[0].splitlines() if line.startswith("| ")]
    assert rows == ["| point", "| ---", "| quick", "| between", "| slow"]
    assert "Of 5 points, no other beats any of these" in page
    assert "for 5 points, 3 of them on the front" in page
    assert page.count("data:image/png") == len(list(tmp_path.glob("*.png")))
    assert "best.yaml has the best score, whatever its steps cost" in page
    assert load_config(tmp_path / "best.yaml", RunConfig).stages[1].weights["pitch"] == 0.6


def test_a_sweep_without_trials_is_refused(tmp_path, record):
    with pytest.raises(ValueError, match="sweep demo has no trials"):
        write_report(tmp_path, record, [])


def test_every_trial_is_a_line_of_the_csv(results):
    rows = list(csv.DictReader(io.StringIO(to_csv([*results, trial("f", scores={"asr": 0.1}, params={"x": [1]})]))))
    assert len(rows) == 10
    assert (rows[0][f"params.{PITCH}"], rows[0]["core_hours"], rows[0]["scores.asr"]) == ("0.5", "1.0", "")
    assert rows[8]["reason"] == HOSTILE
    assert (json.loads(rows[9]["params.x"]), rows[9]["scores.asr"], rows[9][f"params.{LR}"]) == ([1], "0.1", "")


@pytest.fixture
def kept(tmp_path, record, results):
    """A sweep's folder before its report."""
    write_record(tmp_path, record, base_config(record.sweep))
    write_results(tmp_path / TRIALS, results)
    return tmp_path


@pytest.mark.usefixtures("undrawn")
def test_the_report_can_be_made_again_from_its_folder(kept, monkeypatch, capsys, record, results):
    first = write_report(kept / "first", record, results)
    monkeypatch.chdir(kept)
    _run(monkeypatch, report, kept)
    assert (kept / "report.html").read_text() == first.read_text()
    assert (kept / "best.yaml").read_text() == (kept / "first" / "best.yaml").read_text()
    said = capsys.readouterr().out
    assert f"report: {kept / 'report.html'}" in said
    assert "61.0 [48.3, 73.7]" in said


@pytest.mark.parametrize(
    ("missing", "sentence"), [(RECORD, f"it has no {RECORD}"), (TRIALS, f"it has no {TRIALS}"), (BASE, BASE)]
)
def test_a_missing_file_is_named_in_a_sentence(kept, monkeypatch, capsys, missing, sentence):
    (kept / missing).unlink()
    with pytest.raises(SystemExit) as stopped:
        _run(monkeypatch, report, kept)
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not (kept / report.PAGE).exists()


def test_a_damaged_line_is_named_in_a_sentence(kept, monkeypatch, capsys):
    (kept / TRIALS).write_text("{}\n")
    with pytest.raises(SystemExit) as stopped:
        _run(monkeypatch, report, kept)
    assert stopped.value.code == 2
    assert "line 1 is no result of a trial" in capsys.readouterr().err
