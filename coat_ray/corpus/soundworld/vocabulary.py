"""The closed vocabulary of SoundWorld: what can be said, heard and played.

Small on purpose: a tokenizer of a few hundred entries covers every question and answer.
"""

from __future__ import annotations

from dataclasses import dataclass

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ADJECTIVES = ("red", "blue", "green", "small", "big", "old", "new", "hot", "cold", "fast", "slow", "happy", "sad")
NOUNS = ("bird", "dog", "boat", "horse", "house", "tree", "girl", "boy", "king", "train", "river", "clock")
VERBS = ("sings", "waits", "runs", "sleeps", "falls", "turns", "comes", "stops")
PLURAL_NOUNS = ("birds", "dogs", "boats", "horses", "trees", "girls", "boys", "trains")
PLURAL_VERBS = ("sing", "wait", "run", "sleep", "fall", "stop")
ADVERBS = ("now", "again", "here", "today")
OPPOSITES = {"hot": "cold", "big": "small", "old": "new", "fast": "slow", "happy": "sad"}
OPPOSITES |= {second: first for first, second in OPPOSITES.items()}
NAMES = ("tom", "anna", "ben", "eva", "max", "lily", "sam", "nora", "leo", "mia", "jack", "rose", "paul", "ella")

AFFECTS = ("angry", "happy", "sad", "calm")
SEXES = ("man", "woman")

PITCH_CLASSES = ("c", "c sharp", "d", "d sharp", "e", "f", "f sharp", "g", "g sharp", "a", "a sharp", "b")
SCALE = (72, 74, 76, 77, 79, 81, 83)
"""MIDI numbers of the notes that are played: C major from C5 to B5, so that every name is one pitch."""


@dataclass(frozen=True)
class SoundName:
    """How a sound is called in answers, told in captions, and labelled in AudioSet (display name)."""

    clause: str
    audioset: str


EVENTS = {
    "dog": SoundName("a dog barks", "Bark"),
    "bird": SoundName("a bird sings", "Chirp, tweet"),
    "rain": SoundName("rain falls", "Rain"),
    "wind": SoundName("wind blows", "Wind"),
    "siren": SoundName("a siren wails", "Siren"),
    "clock": SoundName("a clock ticks", "Tick-tock"),
    "knock": SoundName("someone knocks", "Knock"),
    "engine": SoundName("an engine runs", "Engine"),
    "bell": SoundName("a bell rings", "Bell"),
    "water": SoundName("water drips", "Drip"),
    "clap": SoundName("someone claps", "Clapping"),
    "alarm": SoundName("an alarm beeps", "Beep, bleep"),
}
INSTRUMENTS = {
    "flute": SoundName("a flute plays", "Flute"),
    "violin": SoundName("a violin plays", "Violin, fiddle"),
    "piano": SoundName("a piano plays", "Piano"),
    "organ": SoundName("an organ plays", "Organ"),
    "trumpet": SoundName("a trumpet plays", "Trumpet"),
    "guitar": SoundName("a guitar plays", "Guitar"),
}
SPEECH_AUDIOSET = {"man": "Male speech, man speaking", "woman": "Female speech, woman speaking"}


def note_name(midi: int) -> str:
    """Pitch class of a MIDI number in words: 61 is "c sharp"."""
    return PITCH_CLASSES[midi % 12]


def frequency(midi: float) -> float:
    """Equal temperament, A4 = MIDI 69 = 440 Hz."""
    return 440.0 * 2.0 ** ((midi - 69) / 12)
