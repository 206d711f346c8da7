"""Questions worth listening to: the worst answers, some that are right, and what changed against another model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import soundfile

from coat_ray.audio import AudioError, load_audio
from coat_ray.corpus.manifest import Manifest
from coat_ray.evaluation.asking.answers import Answer
from coat_ray.evaluation.marking.marks import Mark
from coat_ray.evaluation.reports.page import Example, Section
from coat_ray.evaluation.scores import Evaluation

RATE = 16_000
MOST_SECONDS = 30
"""What an example plays of a clip; a page must stay a page."""

SHOWN = 3
_LONGEST_TEXT = 600


@dataclass(frozen=True)
class Answered:
    """One model's marked answers, the manifest whose rows were asked, and what each answer was read as."""

    evaluation: Evaluation
    manifest: Manifest
    read: Sequence[str | None] | None = None

    @cached_property
    def first_clips(self) -> dict[str, str]:
        """Row id -> URI of the row's first clip."""
        return {row.id: row.audios[0] for row in self.manifest.rows if row.audios}


def example_sections(title: str, answered: Answered, reference: Answered | None) -> list[Section]:
    """Examples of one model on one benchmark, beside a reference model on the same questions where there is one."""
    ranked = sorted(range(len(answered.evaluation.answers)), key=lambda i: (_badness(answered, i), i), reverse=True)
    worst = [i for i in ranked if _badness(answered, i) > 0][:SHOWN]
    right = [i for i in reversed(ranked) if _badness(answered, i) == 0][:SHOWN]
    sections = [
        _section(f"{title}: worst answers", answered, worst, reference),
        _section(f"{title}: right answers", answered, right, reference, folded=True),
    ]
    if reference is not None:
        change = {i: _badness(answered, i) - _badness(reference, i) for i in ranked}
        lost = [i for i in sorted(change, key=lambda i: -change[i]) if change[i] > 0][:SHOWN]
        won = [i for i in sorted(change, key=lambda i: change[i]) if change[i] < 0][:SHOWN]
        other = reference.evaluation.model
        counts = (sum(c > 0 for c in change.values()), sum(c < 0 for c in change.values()))
        says = [f"of {len(change)} answers, {counts[0]} are worse than those of {other} and {counts[1]} better"]
        sections += [
            _section(f"{title}: worse than {other}", answered, lost, reference, says=says),
            _section(f"{title}: better than {other}", answered, won, reference),
        ]
    return [section for section in sections if section.examples]


def _section(
    title: str,
    answered: Answered,
    places: Sequence[int],
    reference: Answered | None,
    *,
    folded: bool = False,
    says: Sequence[str] = (),
) -> Section:
    return Section(title, says, folded=folded, examples=[_example(answered, i, reference) for i in places])


def _badness(answered: Answered, place: int) -> float:
    """0 for a right answer, 1 for a wrong one; words wrong per word spoken; what a judge left to the top rating."""
    evaluation = answered.evaluation
    mark, answer = evaluation.marks[place], evaluation.answers[place]
    if not mark.denominator:
        return 0.0
    share = mark.numerator / mark.denominator
    return share if evaluation.metrics[answer.task] in {"wer", "mean_wer"} else 1 - share


def _example(answered: Answered, place: int, reference: Answered | None) -> Example:
    answer, mark = answered.evaluation.answers[place], answered.evaluation.marks[place]
    facts = [
        ("question", answer.question.replace("<audio>", "").strip()),
        ("expected", answer.reference),
        (f"{answered.evaluation.model}", answer.answer or "(nothing)"),
    ]
    if answered.read is not None:
        facts.append(("read as", answered.read[place] or "unreadable"))
    if reference is not None:
        facts.append((reference.evaluation.model, reference.evaluation.answers[place].answer or "(nothing)"))
    facts += [("marked", _marked(mark)), ("audio tokens", str(answer.audio_tokens)), ("row", answer.id)]
    return Example([(name, _cut(text)) for name, text in facts], _sound(answered, answer))


def _marked(mark: Mark) -> str:
    return f"{mark.numerator:g} of {mark.denominator:g}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " …"


def _sound(answered: Answered, answer: Answer) -> bytes | None:
    """The question's first clip as FLAC; None without one, or where it is no longer there."""
    if not answer.audio_tokens:
        return None
    try:
        signal = load_audio(answered.manifest.resolve(answered.first_clips[answer.id]), RATE)
    except AudioError:
        return None
    file = io.BytesIO()
    soundfile.write(file, signal[: MOST_SECONDS * RATE].clip(-1, 1), RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()
