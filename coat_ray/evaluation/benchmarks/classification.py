"""Classification in words: VocalSound, GTZAN, MELD, IEMOCAP.

lmms-eval 0.7.3 has a task for VocalSound only. The others' prompts are ours, and they are marked compatibly by
VocalSound's rule: the first class of the list that stands anywhere in the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from coat_ray.evaluation.benchmarks.entry import Key, PublicBenchmark, Source, text_of
from coat_ray.evaluation.marking import harness
from coat_ray.evaluation.marking.rules import label_rule

OURS = "none in lmms-eval 0.7.3; marked as vocalsound"

VOCAL_SOUNDS: Mapping[str, tuple[str, ...]] = {
    "Laughter": ("laughter", "laughing", "laugh", "laughs"),
    "Sniff": ("sniff", "sniffing", "sniffs", "sniffle", "sniffling"),
    "Throat clearing": ("throat clearing", "clearing throat", "clears throat", "clearing the throat", "throat"),
    "Cough": ("cough", "coughing", "coughs"),
    "Sigh": ("sigh", "sighing", "sighs"),
    "Sneeze": ("sneeze", "sneezing", "sneezes"),
}
GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
MELD_EMOTIONS: Mapping[str, tuple[str, ...]] = {
    "neutral": ("neutral",),
    "joy": ("joy", "joyful", "happy", "happiness"),
    "sadness": ("sadness", "sad"),
    "anger": ("anger", "angry"),
    "fear": ("fear", "fearful", "afraid"),
    "disgust": ("disgust", "disgusted"),
    "surprise": ("surprise", "surprised"),
}
IEMOCAP_EMOTIONS: Mapping[str, tuple[str, ...]] = {
    "ang": ("angry", "anger"),
    "hap": ("happy", "happiness", "excited", "excitement"),
    "neu": ("neutral",),
    "sad": ("sad", "sadness"),
}
IEMOCAP_NAMES = tuple(IEMOCAP_EMOTIONS)


def _one_of(labels: Mapping[str, tuple[str, ...]] | tuple[str, ...], what: str) -> str:
    names = [labels[label][0] for label in labels] if isinstance(labels, Mapping) else list(labels)
    return f"{what} Answer with one of: {', '.join(names)}."


_classified = partial(PublicBenchmark, audio="audio", max_new_tokens=20)

VOCALSOUND = _classified(
    name="vocalsound",
    family="music",
    source=Source("test", "CC BY-SA 4.0", "lmms-lab-audio/vocalsound"),
    task="audio_qa",
    question=lambda _: "Classify the human vocal sound to VocalSound in English: ",
    key=lambda doc: Key(doc["answer"], target=doc["answer"]),
    strict=label_rule(VOCAL_SOUNDS),
    compatible=harness.first_label({label: label.split()[0] for label in VOCAL_SOUNDS}),
    like="vocalsound_test",
    skill="age_group",
)


def _genre(doc: Mapping[str, object]) -> Key:
    name = text_of(doc["genre"], GENRES)
    return Key(name, target=name)


GTZAN = _classified(
    name="gtzan",
    family="music",
    source=Source("train", "none stated", "sanchit-gandhi/gtzan"),
    task="music",
    question=lambda _: _one_of(GENRES, "What is the genre of this music?"),
    key=_genre,
    strict=label_rule({genre: (genre, "hip hop") if genre == "hiphop" else (genre,) for genre in GENRES}),
    compatible=harness.first_label({genre: genre for genre in GENRES}),
    like=OURS,
    id="file",
)


def _meld_emotion(doc: Mapping[str, object]) -> Key:
    label = str(doc["Emotion"]).strip().lower()
    return Key(label, target=label)


MELD = _classified(
    name="meld",
    family="emotion",
    source=Source("test", "GPL-3.0 (annotations)", "TwinkStart/MELD"),
    task="speech_qa",
    question=lambda _: _one_of(MELD_EMOTIONS, "What is the emotion of the speaker?"),
    key=_meld_emotion,
    strict=label_rule(MELD_EMOTIONS),
    compatible=harness.first_label({label: label for label in MELD_EMOTIONS}),
    like=OURS,
    labels=tuple(MELD_EMOTIONS),
)


def _iemocap_emotion(doc: Mapping[str, object]) -> Key:
    label = text_of(doc["label"], IEMOCAP_NAMES)
    return Key(IEMOCAP_EMOTIONS[label][0], target=label)


IEMOCAP = _classified(
    name="iemocap",
    family="emotion",
    source=Source(
        "session5",
        "USC release form, research only",
        "Zahra99/IEMOCAP_Audio",
        obtain="ask for IEMOCAP at sail.usc.edu/iemocap; session 5 as rows with audio and label (ang, hap, neu, sad)",
    ),
    task="speech_qa",
    question=lambda _: _one_of(IEMOCAP_EMOTIONS, "What is the emotion of the speaker?"),
    key=_iemocap_emotion,
    strict=label_rule(IEMOCAP_EMOTIONS),
    compatible=harness.first_label({label: forms[0] for label, forms in IEMOCAP_EMOTIONS.items()}),
    like=OURS,
)

CLASSIFICATION = (VOCALSOUND, GTZAN, MELD, IEMOCAP)
