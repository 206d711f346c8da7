"""Asking a model every question once: batches in a fixed order, answers in one JSONL file that survives being killed.

The batches are a pure function of the rows and the batch size. A batch becomes part of the file with one synchronised
write; whatever a killed evaluation left half-written is cut off and answered again. A continued evaluation therefore
asks the same batches and ends with the same bytes as one that was never stopped.

Every answer comes with what the model heard: the clip's id and how many of its positions were filled. A question whose
clip did not reach the model ends the evaluation.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from coat_ray.corpus.manifest import Row
from coat_ray.provenance import fingerprint

log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
"""Called with (questions answered, questions in all)."""


class EvaluationError(RuntimeError):
    """An evaluation that cannot go on; the message says why."""


class AudioNotHeardError(EvaluationError):
    """A clip that a question is about did not reach the model."""


@dataclass(frozen=True)
class Said:
    """An answer, and what the model heard for it.

    ``clips``: ids (``audio.clip_id``) of the signals that were fed, in order; ``audio_tokens``: positions of the prompt
    that they filled, counted in what was fed and not in the question.
    """

    text: str
    clips: tuple[str, ...] = ()
    audio_tokens: int = 0


class Answerer(Protocol):
    """A model that answers questions about audio."""

    def answer(self, rows: Sequence[Row], max_new_tokens: int) -> list[Said]:
        """One answer per row, in order, decoded greedily; reference answers in the rows must not be looked at."""
        ...


@runtime_checkable
class Pool(Protocol):
    """Several copies of a model that answer batches at the same time."""

    def stream(self, batches: Sequence[Sequence[Row]], max_new_tokens: int) -> Iterator[list[Said]]:
        """The answers of each batch, in the order of the batches."""
        ...


@dataclass(frozen=True)
class Answer:
    """One answered question with everything that scoring needs, and what was heard: clip ids, and positions filled."""

    id: str
    task: str
    skill: str
    clip: str
    question: str
    reference: str
    answer: str
    audio: str = ""
    audio_tokens: int = 0


def plan_batches(rows: Sequence[Row], batch_rows: int) -> list[list[Row]]:
    """Batches of rows of similar length, the longest first, so that too little memory shows at once."""
    ordered = sorted(rows, key=lambda row: (-(row.seconds or 0.0), -len(question_of(row)), row.id))
    return [ordered[start : start + batch_rows] for start in range(0, len(ordered), batch_rows)]


def ask(
    answerer: Answerer | Pool,
    rows: Sequence[Row],
    path: Path,
    *,
    model: str,
    batch_rows: int,
    max_new_tokens: int,
    progress: Progress | None = None,
) -> list[Answer]:
    """Answer all rows, continuing the file at *path* where it belongs to the same model, questions and settings.

    Args:
        answerer: the model, or several copies of it.
        rows: the questions; their ids must differ.
        path: JSONL; a first line says what the answers belong to, then one line per answer, batch by batch.
        model: identity of the model, such as ``name@version``; answers of another identity are replaced.
        batch_rows: questions per call of the answerer.
        max_new_tokens: limit for each answer.
        progress: told after every batch.

    Returns:
        The answers in the order of *rows*.

    Raises:
        EvaluationError: no rows, equal ids, wrong number of answers, or another process is writing the same file.
        AudioNotHeardError: a clip did not reach the model; what was answered before stays in the file.
    """
    if len({row.id for row in rows}) != len(rows) or not rows:
        raise EvaluationError(f"an evaluation needs rows with distinct ids; found {len(rows)} rows")
    batches = plan_batches(rows, batch_rows)
    header = {"model": model, "questions": fingerprint(sorted(rows, key=lambda row: row.id)), "n": len(rows)}
    header |= {"batch_rows": batch_rows, "max_new_tokens": max_new_tokens, "heard": True}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        _lock(file, path)
        done = _recover(file, header, batches)
        if progress:
            progress(sum(map(len, done)), len(rows))
        missing = batches[len(done) :]
        for batch, said in zip(missing, _stream(answerer, missing, max_new_tokens), strict=True):
            done.append(_answers(batch, said))
            _append(file, "".join(_line(asdict(answer)) for answer in done[-1]))
            if progress:
                progress(sum(map(len, done)), len(rows))
    by_id = {answer.id: answer for batch_answers in done for answer in batch_answers}
    return [by_id[row.id] for row in rows]


def question_of(row: Row) -> str:
    """What the user asks, without the reference answer."""
    return "\n".join(message.content for message in row.prompt if message.role == "user")


def _stream(answerer: Answerer | Pool, batches: list[list[Row]], max_new_tokens: int) -> Iterator[list[Said]]:
    if isinstance(answerer, Pool):
        yield from answerer.stream(batches, max_new_tokens)
        return
    for batch in batches:
        yield answerer.answer(batch, max_new_tokens)


def _answers(batch: Sequence[Row], said: Sequence[Said]) -> list[Answer]:
    if len(said) != len(batch):
        raise EvaluationError(f"the model gave {len(said)} answers to {len(batch)} questions")
    return [_answer(row, one) for row, one in zip(batch, said, strict=True)]


def _answer(row: Row, said: Said) -> Answer:
    if len(said.clips) != len(row.audios) or (row.audios and said.audio_tokens < len(row.audios)):
        raise AudioNotHeardError(
            f"row {row.id}: {len(row.audios)} clips were to be heard, and {len(said.clips)} reached the model, "
            f"in {said.audio_tokens} positions; no score of this run would be about audio"
        )
    return Answer(
        id=row.id,
        task=row.task or "",
        skill=str(row.meta.get("skill", "")),
        clip=" ".join(row.audios) or row.id,
        question=question_of(row),
        reference=row.answer,
        answer=said.text,
        audio=" ".join(said.clips),
        audio_tokens=said.audio_tokens,
    )


def _recover(file: BinaryIO, header: dict[str, object], batches: list[list[Row]]) -> list[list[Answer]]:
    """The batches that the file holds completely; everything after them is cut off."""
    file.seek(0)
    *lines, _torn = file.read().split(b"\n")
    first = _line(header).encode()
    if not lines or lines[0] + b"\n" != first:
        if lines:
            log.warning("%s holds answers to other questions or of another model; it is replaced", file.name)
        file.truncate(0)
        _append(file, first.decode())
        return []
    done: list[list[Answer]] = []
    size, position = len(first), 1
    for batch in batches:
        block = lines[position : position + len(batch)]
        answers = [_parsed(line) for line in block]
        if [answer.id if answer else None for answer in answers] != [row.id for row in batch]:
            break
        done.append([answer for answer in answers if answer])
        size, position = size + sum(len(line) + 1 for line in block), position + len(batch)
    file.truncate(size)
    return done


def _parsed(line: bytes) -> Answer | None:
    try:
        return Answer(**json.loads(line))
    except (ValueError, TypeError):
        return None


def _append(file: BinaryIO, text: str) -> None:
    file.write(text.encode())
    file.flush()
    os.fsync(file.fileno())


def _line(data: dict[str, object]) -> str:
    return json.dumps(data, ensure_ascii=False) + "\n"


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise EvaluationError(f"another process is writing {path}; wait for it or choose another place") from None
