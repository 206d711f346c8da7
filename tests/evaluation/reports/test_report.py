"""Tables say what the evaluations hold, in every form."""

import json

import pytest
from rich.console import Console

from coat_ray.evaluation.marking.metrics import Interval
from coat_ray.evaluation.reports.report import (
    MEAN,
    Distillation,
    ablation_table,
    difference_cell,
    distillation_table,
    score_cell,
    score_table,
    skill_table,
    write_report,
)
from coat_ray.evaluation.run import evaluate
from coat_ray.evaluation.scores import Difference, Evaluation, Score


@pytest.fixture
def evaluations(rows, scripted, tmp_path) -> list[Evaluation]:
    def run(model: str, wrong_clips: int) -> Evaluation:
        wrong = scripted(lambda row: "(a) or (b)" if row.task != "asr" and int(row.id[0]) < wrong_clips else None)
        return evaluate(wrong, rows, tmp_path / f"{model}.jsonl", model=model)

    return [run("base", 8), run("sft", 4), run("coat", 1)]


def test_cells_are_percent_with_interval() -> None:
    assert score_cell(Score("accuracy", 0.842, Interval(0.801, 0.876), 100)) == "84.2 [80.1, 87.6]"


@pytest.mark.parametrize(
    ("low", "high", "cell"),
    [
        (0.012, 0.089, "+5.0 [+1.2, +8.9] *"),
        (-0.012, 0.089, "+5.0 [-1.2, +8.9]"),
        (-0.2, -0.1, "+5.0 [-20.0, -10.0] *"),
    ],
)
def test_a_difference_is_starred_when_its_interval_excludes_zero(low: float, high: float, cell: str) -> None:
    assert difference_cell(Difference("accuracy", 0.05, Interval(low, high), 9)) == cell


def test_the_score_table_has_a_row_per_group_and_a_column_per_model(evaluations) -> None:
    table = score_table(evaluations, [("coat", "sft")])
    assert table.columns == ("task group", "n", "base", "sft", "coat", "coat - sft")
    assert [row[:2] for row in table.rows] == [
        ("asr (WER, lower is better)", "8"),
        ("multiple_choice", "8"),
        ("music", "16"),
        ("text", "8"),
        (MEAN, "32"),
    ]
    music = table.rows[2]
    assert [cell.split()[0] for cell in music[2:]] == ["0.0", "50.0", "87.5", "+37.5"]
    assert "base, multiple_choice: 8 of 8 answers empty or unreadable, counted as wrong" in table.notes


def test_the_tables_numbers_are_kept_for_programs(evaluations) -> None:
    data = score_table(evaluations, [("coat", "sft")]).data
    assert data["models"]["coat"]["tasks"]["music"]["value"] == 14 / 16
    assert data["models"]["coat"]["tasks"]["music"]["skills"]["first_note"]["n"] == 8
    assert data["differences"]["coat-sft"]["mean_accuracy"]["value"] == pytest.approx(3 / 8)


def test_a_difference_needs_both_models(evaluations) -> None:
    with pytest.raises(ValueError, match="no evaluation of 'cot'"):
        score_table(evaluations, [("cot", "sft")])


def test_models_on_different_questions_do_not_share_a_table(evaluations, rows, scripted, tmp_path) -> None:
    fewer = evaluate(scripted(), rows[:20], tmp_path / "few.jsonl", model="few")
    with pytest.raises(ValueError, match="same questions"):
        score_table([*evaluations, fewer])


def test_skills_have_their_own_table(evaluations) -> None:
    assert [row[:2] for row in skill_table(evaluations).rows] == [
        ("multiple_choice: instrument", "8"),
        ("music: direction", "8"),
        ("music: first_note", "8"),
    ]


def test_distillation_stands_beside_the_best_constant() -> None:
    table = distillation_table({"recon": Distillation(0.2, 0.8), "pitch": Distillation(0.05, 0.04)})
    assert table.rows == [("recon", "0.2", "0.8", "0.25"), ("pitch", "0.05", "0.04", "1.25")]
    assert table.data["recon"] == {"loss": 0.2, "constant": 0.8, "ratio": pytest.approx(0.25)}


def test_the_ablation_compares_every_treatment_with_the_first(evaluations) -> None:
    base, sft, coat = evaluations
    table = ablation_table({"as trained": coat, "shuffled in time": sft, "removed": base})
    assert table.columns == ("task group", "n", "as trained", "shuffled in time", "removed")
    assert table.rows[-1][0] == f"{MEAN}, minus as trained"
    assert [cell.split()[0] for cell in table.rows[-1][3:]] == ["-37.5", "-87.5"]
    assert table.data["minus_reference"]["removed"]["value"] == pytest.approx(-7 / 8)


def test_markdown_and_terminal_show_the_same_cells(evaluations) -> None:
    table = score_table(evaluations, [("coat", "sft")])
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(table.to_rich())
    shown, markdown = console.export_text(), table.to_markdown()
    for cell in (cell for row in table.rows for cell in row):
        assert cell in shown
        assert f" {cell} |" in markdown
    assert len({line.count("|") for line in markdown.splitlines() if line.startswith("|")}) == 1


def test_a_report_is_written_as_markdown_and_json(evaluations, tmp_path) -> None:
    tables = {"scores": score_table(evaluations), "distillation": distillation_table({"recon": Distillation(1, 2)})}
    markdown, data = write_report(tmp_path / "report", tables)
    assert "### Distillation on held-out clips" in markdown.read_text()
    assert json.loads(data.read_text())["distillation"]["recon"]["ratio"] == 0.5
