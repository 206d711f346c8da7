"""Questions apply where they should, and their answers agree with the facts, in a small closed vocabulary."""

from __future__ import annotations

import re

import numpy as np
import pytest

from coat_ray.corpus.soundworld import vocabulary as words
from coat_ray.corpus.soundworld.facts import KINDS, ClipFacts, EventFacts, Kind, MelodyFacts, NoteFacts, sample_clip
from coat_ray.corpus.soundworld.questions import SKILLS, ask


def clip(kind: Kind, **parts: object) -> ClipFacts:
    return ClipFacts(kind=kind, split="train", seed=0, gain=0.0, **parts)  # type: ignore[arg-type]


def tune(*midi: int) -> MelodyFacts:
    return MelodyFacts("piano", 0, tuple(NoteFacts(m, 0.1 + 0.5 * i, 0.45) for i, m in enumerate(midi)), 0.0)


def answers(facts: ClipFacts) -> dict[str, str]:
    return {qa.skill: qa.answer for qa in ask(facts, np.random.default_rng(0))}


def test_notes_are_named_by_their_pitch_class() -> None:
    said = answers(clip("melody", melody=tune(61, 72, 69)))
    assert said["first_note"] == "c sharp"
    assert said["last_note"] == "a"
    assert said["highest_note"] == "c"
    assert said["all_notes"] == "c sharp c a"
    assert said["instrument"] == "piano"
    assert said["caption"] == "a piano plays"
    assert "direction" not in said


@pytest.mark.parametrize(("midi", "way"), [((60, 64, 67), "up"), ((83, 61), "down")])
def test_a_melody_goes_up_or_down(midi: tuple[int, ...], way: str) -> None:
    assert answers(clip("melody", melody=tune(*midi)))["direction"] == way


def test_the_order_of_sounds_is_told() -> None:
    events = (EventFacts("dog", 0, 0.0, 1.0), EventFacts("bell", 0, 1.1, 1.0))
    said = answers(clip("two_events", events=events))
    assert said["first_sound"] == "dog"
    assert said["last_sound"] == "bell"
    assert said["caption"] == "a dog barks then a bell rings"
    assert "background" not in said


def test_speech_is_asked_about_words_speaker_and_feeling() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        facts = sample_clip("test", "speech_over_event", rng)
        assert facts.speech
        said = answers(facts)
        assert said["transcript"] == facts.speech.words
        assert said["sex"] == facts.speech.voice.sex
        assert said["affect"] == facts.speech.affect
        assert said["background"] == facts.events[0].name
        person = (
            f"{facts.speech.affect} {facts.speech.voice.sex} speaks while {words.EVENTS[facts.events[0].name].clause}"
        )
        assert said["caption"] in (f"a {person}", f"an {person}")


def test_names_and_instructions_are_asked_about() -> None:
    rng = np.random.default_rng(0)
    named = sample_clip("test", "name", rng)
    assert answers(named)["spelled_name"] == answers(named)["transcript"].replace(" ", "")
    told = sample_clip("test", "instruction", rng)
    assert told.speech
    assert told.speech.instruction
    assert answers(told)["instruction"] == told.speech.instruction.answer


def test_a_choice_has_three_different_options_one_of_them_right() -> None:
    rng = np.random.default_rng(0)
    places = []
    for _ in range(60):
        facts = sample_clip("train", "melody_over_event", rng)
        plain = answers(facts)
        right = {"note": plain["first_note"], "instrument": plain["instrument"], "background": plain["background"]}
        for qa in ask(facts, rng, tasks=("multiple_choice",)):
            options = dict(re.findall(r"\(([abc])\) ([a-z ]+?)(?= \(|$)", qa.question))
            assert len(set(options.values())) == 3
            letter, chosen = qa.answer[1], qa.answer[4:]
            assert options[letter] == chosen == right[qa.skill.removeprefix("choose_")]
            places.append(letter)
    assert set(places) == set("abc")


def test_tasks_and_skills_can_be_chosen() -> None:
    facts = sample_clip("train", "melody", np.random.default_rng(0))
    rng = np.random.default_rng(0)
    assert {qa.task for qa in ask(facts, rng, tasks=("music",))} == {"music"}
    assert [qa.skill for qa in ask(facts, rng, skills=("last_note", "first_note"))] == ["first_note", "last_note"]
    assert ask(facts, rng, skills=("transcript",)) == []


def test_every_skill_is_asked_of_some_kind_in_two_or_more_ways() -> None:
    rng = np.random.default_rng(0)
    ways: dict[str, set[str]] = {name: set() for _, name, _ in SKILLS}
    for _ in range(40):
        for kind in KINDS:
            for qa in ask(sample_clip("train", kind, rng), rng):
                ways[qa.skill].add(qa.question.split(" (a)")[0])
    assert min(map(len, ways.values())) >= 2


def test_the_vocabulary_is_closed_small_and_lower_case() -> None:
    rng = np.random.default_rng(0)
    used: set[str] = set()
    for _ in range(200):
        for kind in KINDS:
            for qa in ask(sample_clip("train", kind, rng), rng):
                text = f"{qa.question} {qa.answer}"
                assert re.fullmatch(r"[a-z ?()]+", text)
                assert not qa.answer.endswith((".", "?"))
                used |= set(re.findall(r"[a-z]+", text))
    assert len(used) < 220
