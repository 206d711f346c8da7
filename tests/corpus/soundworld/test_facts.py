"""Splits share no voice, timbre, phrase or melody; facts and sounds follow from their seed alone."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest

from coat_ray.corpus.soundworld import vocabulary as words
from coat_ray.corpus.soundworld.facts import KINDS, ClipFacts, sample_clip
from coat_ray.corpus.soundworld.instructions import HELD_OUT_FORMS, SHARED_FORMS, sample_instruction
from coat_ray.corpus.soundworld.splits import SPLITS, TIMBRES, VOICES, Split, split_of
from coat_ray.experts.audioset import CLASSES

CLIPS = 120


@cache
def clips(split: Split) -> list[ClipFacts]:
    rng = np.random.default_rng(5)
    return [sample_clip(split, kind, rng) for kind in KINDS for _ in range(CLIPS)]


def voices(split: Split) -> set[str]:
    return {clip.speech.voice.name for clip in clips(split) if clip.speech}


def timbres(split: Split) -> set[int]:
    heard = {event.timbre for clip in clips(split) for event in clip.events}
    return heard | {clip.melody.timbre for clip in clips(split) if clip.melody}


def phrases(split: Split) -> set[str]:
    return {clip.speech.words for clip in clips(split) if clip.kind in {"speech", "speech_over_event"}}  # type: ignore[union-attr]


def melodies(split: Split) -> set[str]:
    return {clip.melody.key for clip in clips(split) if clip.melody}


@pytest.mark.parametrize("parts", [voices, timbres, phrases, melodies])
def test_no_two_splits_share(parts: object) -> None:
    for one, two in combinations(SPLITS, 2):
        assert parts(one)
        assert not parts(one) & parts(two)


def test_held_out_instructions_belong_to_one_split_each() -> None:
    rng = np.random.default_rng(0)
    for form in HELD_OUT_FORMS:
        asked = {split: {sample_instruction(form, split, rng).words for _ in range(60)} for split in SPLITS}
        for one, two in combinations(SPLITS, 2):
            assert not asked[one] & asked[two]


def test_splits_of_phrases_have_the_stated_shares() -> None:
    drawn = [split_of(str(number)) for number in range(10_000)]
    shares = [drawn.count(split) / 10_000 for split in SPLITS]
    assert shares == pytest.approx([0.68, 0.08, 0.24], abs=0.02)


def test_every_split_has_both_sexes_and_its_own_variants() -> None:
    variants = [voice.name.split("+")[1] for split in SPLITS for voice in VOICES[split]]
    assert len(set(variants)) == len(variants)
    for split in SPLITS:
        assert {voice.sex for voice in VOICES[split]} == {"man", "woman"}
    assert sum(map(len, TIMBRES.values())) == len(set().union(*TIMBRES.values()))


def test_every_class_occurs_in_every_split() -> None:
    for split in SPLITS:
        assert {event.name for clip in clips(split) for event in clip.events} == set(words.EVENTS)
        assert {clip.melody.instrument for clip in clips(split) if clip.melody} == set(words.INSTRUMENTS)
        assert {clip.speech.affect for clip in clips(split) if clip.speech} == set(words.AFFECTS)
        midi = {note.midi for clip in clips(split) if clip.melody for note in clip.melody.notes}
        assert midi == set(words.SCALE)


def test_facts_follow_from_the_seed() -> None:
    def draw(seed: int) -> list[ClipFacts]:
        rng = np.random.default_rng(seed)
        return [sample_clip("train", kind, rng) for kind in KINDS]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_melodies_have_two_to_four_notes_and_half_of_them_rise_or_fall() -> None:
    played = [[note.midi for note in clip.melody.notes] for clip in clips("train") if clip.melody]
    assert {len(midi) for midi in played} == {2, 3, 4}
    assert all(len(set(midi)) == len(midi) for midi in played)
    monotone = sum(midi in (sorted(midi), sorted(midi, reverse=True)) for midi in played)
    assert 0.5 < monotone / len(played) < 0.9


def test_instructions_are_answered_rightly() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        count = sample_instruction("count", "train", rng)
        assert count.answer.split() == list(words.NUMBERS[: words.NUMBERS.index(count.words.split()[-1]) + 1])
        spell = sample_instruction("spell", "train", rng)
        assert spell.answer.replace(" ", "") == spell.words.removeprefix("spell ")
        reverse = sample_instruction("reverse", "test", rng)
        assert reverse.answer.split() == reverse.words.split()[-1:-4:-1]
        repeat = sample_instruction("repeat", "test", rng)
        assert repeat.words == f"say {' '.join(repeat.answer.split()[:2])} twice"
        place = sample_instruction("choose", "test", rng).words.split()
        assert place[3] in {"first", "second", "last"}
    assert words.OPPOSITES["hot"] == "cold"
    assert all(words.OPPOSITES[words.OPPOSITES[word]] == word for word in words.OPPOSITES)
    assert not set(SHARED_FORMS) & set(HELD_OUT_FORMS)


def test_every_sound_has_an_audioset_class_that_the_event_expert_knows() -> None:
    named = {sound.audioset for sound in (*words.EVENTS.values(), *words.INSTRUMENTS.values())}
    named |= set(words.SPEECH_AUDIOSET.values())
    assert len(named) == len(words.EVENTS) + len(words.INSTRUMENTS) + len(words.SEXES)
    assert named <= set(CLASSES)
