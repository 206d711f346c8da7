"""Questions about a clip and their answers, drawn from its facts.

One function per skill returns ``(question, answer)`` or None where the skill does not apply; ``SKILLS`` lists them
with their task group. Questions and answers are lower case and without a final stop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from coat_ray.corpus.soundworld import vocabulary as words
from coat_ray.corpus.soundworld.facts import ClipFacts

Asked = tuple[tuple[str, ...], str] | None
Skill = Callable[[ClipFacts], Asked]


@dataclass(frozen=True)
class QA:
    """One question with its task group and skill."""

    task: str
    skill: str
    question: str
    answer: str


def ask(
    facts: ClipFacts,
    rng: np.random.Generator,
    tasks: Collection[str] | None = None,
    skills: Collection[str] | None = None,
) -> list[QA]:
    """Every question that *facts* can answer, in the order of ``SKILLS``, each in one drawn paraphrase.

    Args:
        facts: the clip's facts.
        rng: draws the paraphrase and the order of options.
        tasks: keep only these task groups; None keeps all.
        skills: keep only these skills; None keeps all.
    """
    found: list[QA] = []
    for task, name, skill in SKILLS:
        if (tasks is not None and task not in tasks) or (skills is not None and name not in skills):
            continue
        asked = skill(facts)
        if asked is None:
            continue
        paraphrases, answer = asked
        question = paraphrases[int(rng.integers(len(paraphrases)))]
        if name in OPTIONS:
            question, answer = _as_choice(question, answer, OPTIONS[name], rng)
        found.append(QA(task, name, question, answer))
    return found


def _transcript(facts: ClipFacts) -> Asked:
    if not facts.speech:
        return None
    return ("transcribe the speech", "what is said?", "write down the words"), facts.speech.words


def _event(facts: ClipFacts) -> Asked:
    if facts.kind != "event":
        return None
    return ("which sound is heard?", "what makes this sound?", "name the sound"), facts.events[0].name


def _background(facts: ClipFacts) -> Asked:
    if not facts.kind.endswith("over_event"):
        return None
    return ("which sound is in the background?", "what is heard in the background?"), facts.events[0].name


def _first_sound(facts: ClipFacts) -> Asked:
    if facts.kind != "two_events":
        return None
    return ("which sound comes first?", "what is heard first?"), facts.events[0].name


def _last_sound(facts: ClipFacts) -> Asked:
    if facts.kind != "two_events":
        return None
    return ("which sound comes last?", "what is heard last?"), facts.events[-1].name


def _sex(facts: ClipFacts) -> Asked:
    if not facts.speech:
        return None
    return ("is the speaker a man or a woman?", "does a man or a woman speak?"), facts.speech.voice.sex


def _affect(facts: ClipFacts) -> Asked:
    if not facts.speech:
        return None
    return ("how does the speaker feel?", "what is the mood of the speaker?"), facts.speech.affect


def _spelled_name(facts: ClipFacts) -> Asked:
    if not facts.speech or not facts.speech.spelled:
        return None
    return ("which name is spelled?", "which name do the letters spell?"), facts.speech.spelled


def _caption(facts: ClipFacts) -> Asked:
    clauses = [words.EVENTS[event.name].clause for event in facts.events]
    if facts.speech:
        verb = "spells a name" if facts.speech.spelled else "speaks"
        article = "an" if facts.speech.affect == "angry" else "a"
        clauses.insert(0, f"{article} {facts.speech.affect} {facts.speech.voice.sex} {verb}")
    if facts.melody:
        clauses.insert(0, words.INSTRUMENTS[facts.melody.instrument].clause)
    link = " then " if facts.kind == "two_events" else " while "
    return ("describe the audio", "describe what you hear"), link.join(clauses)


def _instrument(facts: ClipFacts) -> Asked:
    if not facts.melody:
        return None
    return ("which instrument plays?", "what instrument is this?"), facts.melody.instrument


def _midi(facts: ClipFacts) -> list[int]:
    return [note.midi for note in facts.melody.notes] if facts.melody else []


def _first_note(facts: ClipFacts) -> Asked:
    if not facts.melody:
        return None
    return ("which note comes first?", "name the first note"), words.note_name(_midi(facts)[0])


def _last_note(facts: ClipFacts) -> Asked:
    if not facts.melody:
        return None
    return ("which note comes last?", "name the last note"), words.note_name(_midi(facts)[-1])


def _highest_note(facts: ClipFacts) -> Asked:
    if not facts.melody:
        return None
    return ("which note is the highest?", "name the highest note"), words.note_name(max(_midi(facts)))


def _all_notes(facts: ClipFacts) -> Asked:
    if not facts.melody:
        return None
    return ("name the notes in order", "which notes are played?"), " ".join(map(words.note_name, _midi(facts)))


def _direction(facts: ClipFacts) -> Asked:
    midi = _midi(facts)
    if not midi or midi not in (sorted(midi), sorted(midi, reverse=True)):
        return None
    return ("does the melody go up or down?", "is the melody going up or down?"), _up_or_down(midi)


def _up_or_down(midi: list[int]) -> str:
    return "up" if midi[0] < midi[-1] else "down"


def _instruction(facts: ClipFacts) -> Asked:
    if not facts.speech or not facts.speech.instruction:
        return None
    return ("follow the spoken instruction", "do what the speaker says"), facts.speech.instruction.answer


SKILLS: tuple[tuple[str, str, Skill], ...] = (
    ("asr", "transcript", _transcript),
    ("audio_qa", "event", _event),
    ("audio_qa", "background", _background),
    ("audio_qa", "first_sound", _first_sound),
    ("audio_qa", "last_sound", _last_sound),
    ("speech_qa", "sex", _sex),
    ("speech_qa", "affect", _affect),
    ("speech_qa", "spelled_name", _spelled_name),
    ("caption", "caption", _caption),
    ("multiple_choice", "choose_event", _event),
    ("multiple_choice", "choose_background", _background),
    ("multiple_choice", "choose_affect", _affect),
    ("multiple_choice", "choose_instrument", _instrument),
    ("multiple_choice", "choose_note", _first_note),
    ("music", "first_note", _first_note),
    ("music", "last_note", _last_note),
    ("music", "highest_note", _highest_note),
    ("music", "all_notes", _all_notes),
    ("music", "direction", _direction),
    ("music", "instrument", _instrument),
    ("spoken_instruction", "instruction", _instruction),
)
"""(task group, skill, function); the skills of a clip are asked in this order."""

OPTIONS: dict[str, tuple[str, ...]] = {
    "choose_event": tuple(words.EVENTS),
    "choose_background": tuple(words.EVENTS),
    "choose_affect": words.AFFECTS,
    "choose_instrument": tuple(words.INSTRUMENTS),
    "choose_note": tuple(words.note_name(midi) for midi in words.SCALE),
}
"""Skills asked as a choice of three, with the pool from which wrong options are drawn."""


def _as_choice(question: str, answer: str, pool: tuple[str, ...], rng: np.random.Generator) -> tuple[str, str]:
    wrong = rng.choice([option for option in pool if option != answer], 2, replace=False)
    options = [str(option) for option in rng.permutation([answer, *wrong])]
    listed = " ".join(f"({letter}) {option}" for letter, option in zip("abc", options, strict=True))
    return f"{question} {listed}", f"({'abc'[options.index(answer)]}) {answer}"
