"""A small benchmark without sound, and models that answer it from a table."""

from collections.abc import Callable, Sequence

import pytest

from coat_ray.corpus.manifest import Message, Row
from coat_ray.evaluation.asking.answers import Said

ASKED = [
    ("asr", "", "transcribe the speech", "the red bird sings"),
    ("music", "first_note", "which note comes first?", "c sharp"),
    ("music", "direction", "does the melody go up or down?", "up"),
    ("multiple_choice", "instrument", "which instrument plays? (a) flute (b) violin (c) piano", "(b) violin"),
    ("text", "", "what is the opposite of hot?", "cold"),
]


def heard(row: Row, text: str) -> Said:
    """An answer of a model that heard the row's clips."""
    return Said(text, row.audios, 25 * len(row.audios))


class Scripted:
    """Answers with the row's reference, or with what ``wrong`` makes of it; remembers every question it was asked."""

    def __init__(self, wrong: Callable[[Row], str | None] = lambda row: None, dies_after: int | None = None) -> None:
        self.wrong, self.dies_after = wrong, dies_after
        self.asked: list[str] = []

    def answer(self, rows: Sequence[Row], max_new_tokens: int) -> list[Said]:
        if self.dies_after is not None and len(self.asked) >= self.dies_after:
            raise KeyboardInterrupt
        self.asked += [row.id for row in rows]
        said = [self.wrong(row) for row in rows]
        return [heard(row, row.answer if s is None else s) for s, row in zip(said, rows, strict=True)]


@pytest.fixture
def rows() -> list[Row]:
    """Forty questions about eight clips; text rows have none."""
    made = []
    for clip in range(8):
        for task, skill, question, reference in ASKED:
            audios = () if task == "text" else (f"clips/{clip}.flac",)
            content = question if task == "text" else f"<audio>\n{question}"
            messages = (Message(role="user", content=content), Message(role="assistant", content=reference))
            name = f"{clip}-{task}-{skill}"
            meta = {"skill": skill} if skill else {}
            seconds = None if task == "text" else 1.0 + clip / 10
            made.append(Row(id=name, messages=messages, audios=audios, task=task, seconds=seconds, meta=meta))
    return made


@pytest.fixture
def scripted() -> type[Scripted]:
    """The class, so that a test can script its own model."""
    return Scripted
