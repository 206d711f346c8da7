"""An evaluation asks every question once, whatever happens to it on the way."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coat_ray.corpus.manifest import write_manifest
from coat_ray.evaluation.asking.answers import Answer, EvaluationError, Said, ask, plan_batches, question_of
from tests.evaluation.kept import read_answers

SETTINGS = {"model": "default/toy@1", "batch_rows": 3, "max_new_tokens": 8}


def test_answers_come_back_in_the_order_of_the_rows(rows, scripted, tmp_path) -> None:
    answers = ask(scripted(), rows, tmp_path / "a.jsonl", **SETTINGS)
    assert [a.id for a in answers] == [row.id for row in rows]
    assert answers[3] == Answer(
        id="0-multiple_choice-instrument",
        task="multiple_choice",
        skill="instrument",
        clip="clips/0.flac",
        question="<audio>\nwhich instrument plays? (a) flute (b) violin (c) piano",
        reference="(b) violin",
        answer="(b) violin",
        audio="clips/0.flac",
        audio_tokens=25,
    )


def test_batches_hold_every_row_once_longest_first(rows) -> None:
    batches = plan_batches(rows, batch_rows=7)
    flat = [row for batch in batches for row in batch]
    assert sorted(row.id for row in flat) == sorted(row.id for row in rows)
    assert [row.seconds or 0 for row in flat] == sorted((row.seconds or 0 for row in rows), reverse=True)
    assert plan_batches(rows[::-1], batch_rows=7) == batches


def test_the_question_never_holds_the_reference(rows) -> None:
    assert all(question_of(row) == row.messages[0].content for row in rows)


def test_the_file_holds_what_was_answered(rows, scripted, tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    answers = ask(scripted(), rows, path, **SETTINGS)
    assert sorted(read_answers(path), key=lambda a: a.id) == sorted(answers, key=lambda a: a.id)


def test_a_finished_evaluation_asks_nothing(rows, scripted, tmp_path) -> None:
    path, idle = tmp_path / "a.jsonl", scripted()
    first = ask(scripted(), rows, path, **SETTINGS)
    assert ask(idle, rows, path, **SETTINGS) == first
    assert idle.asked == []


@pytest.mark.parametrize("batches", [0, 1, 5, 13])
def test_an_interrupted_evaluation_continues_to_the_same_file(rows, scripted, tmp_path, batches: int) -> None:
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    ask(scripted(), rows, whole, **SETTINGS)
    first, second = scripted(dies_after=3 * batches), scripted()
    with pytest.raises(KeyboardInterrupt):
        ask(first, rows, broken, **SETTINGS)
    ask(second, rows, broken, **SETTINGS)
    assert sorted(first.asked + second.asked) == sorted(row.id for row in rows)
    assert broken.read_bytes() == whole.read_bytes()


def test_a_file_cut_at_any_byte_continues_to_the_same_file(rows, scripted, tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    expected = ask(scripted(), rows, path, **SETTINGS)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 97):
        path.write_bytes(whole[:cut])
        assert ask(scripted(), rows, path, **SETTINGS) == expected
        assert path.read_bytes() == whole


def test_an_evaluation_killed_by_the_system_continues_to_the_same_file(rows, scripted, tmp_path) -> None:
    whole, broken, manifest = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl", tmp_path / "rows.jsonl"
    ask(scripted(), rows, whole, **SETTINGS)
    write_manifest(rows, manifest)
    script = f"""
import os, signal
from pathlib import Path
from coat_ray.corpus.manifest import read_manifest
from coat_ray.evaluation.asking.answers import Said, ask

class Dies:
    calls = 0
    def answer(self, rows, max_new_tokens):
        self.calls += 1
        if self.calls == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return [Said(row.answer, row.audios, 25 * len(row.audios)) for row in rows]

ask(Dies(), read_manifest(Path({str(manifest)!r})).rows, Path({str(broken)!r}), **{SETTINGS!r})
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=120, check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL
    rest = scripted()
    ask(rest, rows, broken, **SETTINGS)
    assert len(rest.asked) == len(rows) - 4 * SETTINGS["batch_rows"]
    assert broken.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("change", [{"model": "default/toy@2"}, {"max_new_tokens": 9}, {"batch_rows": 4}])
def test_answers_of_another_model_or_setting_are_not_reused(rows, scripted, tmp_path, caplog, change) -> None:
    path, again = tmp_path / "a.jsonl", scripted()
    ask(scripted(), rows, path, **SETTINGS)
    ask(again, rows, path, **SETTINGS | change)
    assert len(again.asked) == len(rows)
    assert "is replaced" in caplog.text


def test_answers_to_a_changed_question_are_not_reused(rows, scripted, tmp_path) -> None:
    path, again = tmp_path / "a.jsonl", scripted()
    ask(scripted(), rows, path, **SETTINGS)
    changed = [rows[0].model_copy(update={"audios": ("clips/other.flac",)}), *rows[1:]]
    ask(again, changed, path, **SETTINGS)
    assert len(again.asked) == len(rows)


def test_a_second_writer_is_refused(rows, scripted, tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(EvaluationError, match="another process is writing"):
            ask(scripted(), rows, path, **SETTINGS)


def test_a_model_that_answers_too_little_is_an_error(rows, tmp_path) -> None:
    class Short:
        def answer(self, rows, max_new_tokens):
            return [Said("c")]

    with pytest.raises(EvaluationError, match="1 answers to 3 questions"):
        ask(Short(), rows, tmp_path / "a.jsonl", **SETTINGS)


@pytest.mark.parametrize("pick", [lambda rows: [], lambda rows: [rows[0], rows[0]]])
def test_rows_that_cannot_be_told_apart_are_an_error(rows, scripted, tmp_path: Path, pick) -> None:
    with pytest.raises(EvaluationError, match="distinct ids"):
        ask(scripted(), pick(rows), tmp_path / "a.jsonl", **SETTINGS)


def test_progress_counts_up_to_all_questions(rows, scripted, tmp_path) -> None:
    seen: list[tuple[int, int]] = []
    ask(scripted(), rows, tmp_path / "a.jsonl", **SETTINGS, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (40, 40)
