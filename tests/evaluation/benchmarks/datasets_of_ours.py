"""Tiny datasets in the schema of each published one. Rows and clips are ours; the column names are theirs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from coat_ray.audio import clip_id, load_audio
from coat_ray.corpus.manifest import Row
from coat_ray.evaluation.asking.answers import Said
from coat_ray.evaluation.benchmarks import PUBLIC

RATE = 16_000
TRIO = ("A. a bell", "B. a drum", "C. a flute", "D. a horn")


def _air(number: int) -> dict[str, Any]:
    more = {"choice_c": "piano", "choice_d": "violin"} if number else {"choice_c": None, "choice_d": None}
    return {
        "uniq_id": number,
        "question": "Which instrument is heard?",
        "choice_a": "flute",
        "choice_b": "guitar",
        **more,
        "answer_gt": ("flute", "guitar", "piano")[number],
        "task_name": "Music_Instruments_Classfication",
        "dataset_name": "ours",
    }


def _mmau(number: int) -> dict[str, Any]:
    options = ["rain", "wind", "a dog", "a door"]
    return {
        "id": f"q{number}",
        "question": "What is heard?",
        "choices": json.dumps(options),
        "answer": options[number],
        "dataset": "ours",
        "task": ("sound", "music", "speech")[number],
        "split": "test-mini",
        "category": "Information Extraction",
        "sub-category": "Acoustic Source Inference",
        "difficulty": "easy",
    }


def _mmar(number: int) -> dict[str, Any]:
    return {
        "id": f"r{number}",
        "question": "What is struck?",
        "choices": list(TRIO),
        "answer": "ABC"[number],
        "modality": ("sound", "music", "speech")[number],
        "category": "Perception Layer",
        "subcategory": "Counting",
        "language": "en",
    }


def _mmsu(number: int) -> dict[str, Any]:
    return {
        "id": f"s{number}",
        "question": "How does the speaker sound?",
        "choice_a": "calm",
        "choice_b": "angry",
        "choice_c": "sad",
        "choice_d": "glad",
        "answer": "ABC"[number],
        "category": "Perception",
        "sub_category": "Paralinguistics",
        "task_name": "emotion",
    }


def _muchomusic(number: int) -> dict[str, Any]:
    options = ["a slow waltz", "a fast march", "a lullaby", "a fanfare"]
    return {
        "instruction": "Which describes the piece?",
        "choices": "\n".join(f"({letter}) {text}" for letter, text in zip("ABCD", options, strict=True)),
        "answer": f"({'ABC'[number]}) {options[number]}",
    }


def _voxpopuli(number: int) -> dict[str, Any]:
    text = ("we agree", "the vote is open", "thank you all")[number]
    return {"audio_id": f"20200101-{number}", "language": 0, "raw_text": f"{text}.", "normalized_text": text}


TEXTS = ("THE RED BIRD SINGS", "A BOAT WITH THREE SAILS", "MISTER SMITH IS HERE")

DOCS: dict[str, Any] = {
    "mmau": _mmau,
    "mmar": _mmar,
    "mmsu": _mmsu,
    "air_bench_speech": _air,
    "air_bench_sound": _air,
    "air_bench_music": _air,
    "muchomusic": _muchomusic,
    "clotho_aqa": lambda n: {"question": "Is a dog heard?", "answer": ("yes", "no", "three")[n]},
    "alpaca_audio": lambda n: {"speech_instruction": "Name a colour.", "answer": ("Red.", "Green.", "Blue.")[n]},
    "wavcaps": lambda n: {"instruction": "Describe the clip.", "answer": ("Rain.", "A dog barks.", "A bell.")[n]},
    "vocalsound": lambda n: {
        "spk_id": f"f{n}",
        "answer": ("Laughter", "Throat clearing", "Sneeze")[n],
        "age_group": n + 1,
    },
    "gtzan": lambda n: {"file": f"genres/{n}.wav", "genre": (0, 4, 9)[n]},
    "meld": lambda n: {
        "Utterance": "well",
        "Speaker": "one",
        "Emotion": ("joy", "anger", "neutral")[n],
        "Dialogue_ID": n,
        "Utterance_ID": 0,
    },
    "iemocap": lambda n: {"label": n},
    "librispeech_clean": lambda n: {"gt": TEXTS[n], "source": f"{n}.flac", "task": "asr_en"},
    "librispeech_other": lambda n: {"gt": TEXTS[n], "source": f"{n}.flac", "task": "asr_en"},
    "common_voice_15_en": lambda n: {"sentence": TEXTS[n].capitalize() + ".", "path": f"cv_{n}.mp3", "locale": "en"},
    "gigaspeech": lambda n: {"gt": f"{TEXTS[n]} <PERIOD>"},
    "voxpopuli_en": _voxpopuli,
    "spgispeech": lambda n: {
        "id": f"spgi{n}",
        "dataset": "spgispeech",
        "text": TEXTS[n].lower(),
        "audio_length_s": 1.0,
    },
    "switchboard": lambda n: {"id": f"sw{n}", "text": f"(%hesitation) {TEXTS[n].lower()}"},
}
NUM_ROWS = 3


def wav(number: int, seconds: float = 0.4) -> bytes:
    """A tone of its own for each number, as the bytes of a WAV file."""
    time = np.arange(int(seconds * RATE)) / RATE
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * (220 + 40 * number) * time), RATE, format="WAV")
    return file.getvalue()


def docs_of(name: str, first_clip: int = 0) -> list[dict[str, Any]]:
    """Rows of a dataset of ours, audio column included, as ``datasets`` stores it."""
    column = PUBLIC[name].audio
    return [DOCS[name](n) | {column: {"bytes": wav(first_clip + n), "path": f"{n}.wav"}} for n in range(NUM_ROWS)]


def write_parquet(name: str, folder: Path, docs: Sequence[dict[str, Any]] | None = None) -> Path:
    """The dataset as the hub's Parquet, in ``folder/name``; returns *folder*."""
    place = folder / name / "data"
    place.mkdir(parents=True)
    split = PUBLIC[name].source.split
    pq.write_table(pa.Table.from_pylist(list(docs or docs_of(name))), place / f"{split}-00000-of-00001.parquet")
    return folder


def right_answer(row: Row) -> str:
    """What a perfect model says: the letter, or the reference."""
    return f"({row.meta['target']})" if row.meta["options"] else row.answer


class Listening:
    """Decodes the clips for real and answers by ``says``; stands for a model that hears everything."""

    def __init__(self, resolve: Any, says: Any = right_answer) -> None:
        self.resolve, self.says, self.asked = resolve, says, []

    def answer(self, rows: Sequence[Row], max_new_tokens: int) -> list[Said]:
        self.asked += [row.id for row in rows]
        clips = [[clip_id(load_audio(self.resolve(uri), RATE)) for uri in row.audios] for row in rows]
        return [Said(self.says(row), tuple(own), 10) for row, own in zip(rows, clips, strict=True)]

    def identity(self) -> str:
        return "listening"
