"""Scores of scripted answers, counted by hand."""

from dataclasses import replace

import pytest

from coat_ray.evaluation.asking.answers import Answer
from coat_ray.evaluation.benchmarks import BENCHMARKS
from coat_ray.evaluation.marking.metrics import wilson
from coat_ray.evaluation.run import evaluate
from coat_ray.evaluation.scores import Evaluation, difference, score

TASKS = BENCHMARKS["soundworld"].tasks


@pytest.fixture
def run(rows, scripted, tmp_path):
    def answered(model: str, wrong=lambda row: None) -> Evaluation:
        return evaluate(scripted(wrong), rows, tmp_path / f"{model}.jsonl", model=model)

    return answered


def on(task: str, said: str, clips: int = 8):
    """Says *said* to a task's questions about the first clips."""
    return lambda row: said if row.task == task and int(row.id[0]) < clips else None


def test_a_perfect_model_scores_one_and_makes_no_word_errors(run) -> None:
    scores = run("oracle").scores()
    assert {task: s.value for task, s in scores.items()} == {
        "asr": 0,
        "multiple_choice": 1,
        "music": 1,
        "text": 1,
    }
    assert {task: s.n for task, s in scores.items()} == {"asr": 8, "multiple_choice": 8, "music": 16, "text": 8}


def test_accuracy_is_right_over_asked_with_wilsons_interval(run) -> None:
    music = run("half", on("music", "c sharp")).scores()["music"]
    assert music.value == 0.5
    assert music.interval == wilson(8, 16)


def test_wer_is_over_the_whole_corpus(run) -> None:
    asr = run("deaf", on("asr", "the bread bird", clips=2)).scores()["asr"]
    assert asr.value == pytest.approx(2 * 2 / (8 * 4))
    assert asr.interval.low <= asr.value <= asr.interval.high


def test_skills_are_scored_apart(run) -> None:
    skills = run("half", on("music", "c sharp")).skills("music")
    assert {name: (s.value, s.n) for name, s in skills.items()} == {"direction": (0, 8), "first_note": (1, 8)}


def test_an_unreadable_choice_is_wrong_and_counted(run) -> None:
    choices = run("vague", on("multiple_choice", "(a) or (b)", clips=3)).scores()["multiple_choice"]
    assert (choices.value, choices.unparsed) == (5 / 8, 3)


def test_a_wrong_choice_is_wrong_but_was_read(run) -> None:
    choices = run("wrong", on("multiple_choice", "(c) piano", clips=3)).scores()["multiple_choice"]
    assert (choices.value, choices.unparsed) == (5 / 8, 0)


def test_the_mean_weighs_accuracy_groups_equally_and_leaves_wer_out(run) -> None:
    mean = run("half", on("music", "c sharp")).mean_accuracy()
    assert mean.value == pytest.approx((1 + 0.5 + 1) / 3)
    assert mean.n == 32


def test_a_model_does_not_differ_from_itself(run) -> None:
    one, same = run("one", on("music", "up")), run("same", on("music", "up"))
    change = difference(one, same, ["music"])
    assert (change.value, change.interval.low, change.interval.high) == (0, 0, 0)


def test_a_paired_difference_is_sharper_than_two_intervals(run) -> None:
    better, worse = run("better", on("music", "x", clips=4)), run("worse", on("music", "x", clips=5))
    change = difference(better, worse, ["music"])
    assert change.value == pytest.approx(2 / 16)
    assert change.interval.low >= 0
    assert better.scores()["music"].interval.low < worse.scores()["music"].interval.high


def test_a_difference_over_groups_is_the_difference_of_means(run) -> None:
    a, b = run("a"), run("b", on("music", "up"))
    tasks = a.accuracy_tasks()
    assert difference(a, b, tasks).value == pytest.approx(a.mean_accuracy().value - b.mean_accuracy().value)


def test_models_on_different_questions_are_not_compared(run, rows, scripted, tmp_path) -> None:
    fewer = evaluate(scripted(), rows[:20], tmp_path / "few.jsonl", model="few")
    with pytest.raises(ValueError, match="same questions"):
        difference(run("all"), fewer, ["music"])


def made(**fields: str) -> Answer:
    blank = {"id": "1", "task": "music", "skill": "", "clip": "c", "question": "?", "reference": "c", "answer": "c"}
    return Answer(**blank | fields)


def test_an_unknown_task_is_an_error() -> None:
    with pytest.raises(ValueError, match="row 1: soundworld has no task 'dance'"):
        score("m", "soundworld", [made(task="dance")], TASKS)


def test_a_reference_that_is_no_option_is_an_error_of_the_benchmark() -> None:
    answer = made(task="multiple_choice", question="which? (a) flute (b) violin", reference="trumpet")
    with pytest.raises(ValueError, match="names none of the options"):
        score("m", "soundworld", [answer], TASKS)


def test_word_errors_without_reference_words_are_undefined() -> None:
    with pytest.raises(ValueError, match="undefined"):
        score("m", "soundworld", [made(task="asr", reference="...", answer="")], TASKS).scores()


def test_questions_about_one_signal_are_drawn_together_whatever_its_files_are_called(run) -> None:
    evaluation = run("some", on("music", "c sharp", clips=4))
    twice = [replace(answer, id=f"{answer.id}-again", clip=f"copy of {answer.clip}") for answer in evaluation.answers]
    doubled = replace(evaluation, answers=evaluation.answers + twice, marks=evaluation.marks * 2, by_clip=True)
    once = replace(evaluation, by_clip=True).scores()["music"]
    assert doubled.scores()["music"].interval == once.interval
    assert doubled.scores()["music"].n == 2 * once.n
    narrower = replace(doubled, by_clip=False).scores()["music"].interval
    assert narrower.high - narrower.low < once.interval.high - once.interval.low


def test_all_right_has_an_interval_all_the_same(run) -> None:
    perfect = replace(run("oracle"), by_clip=True).scores()["music"]
    assert perfect.interval == wilson(16, 16)
