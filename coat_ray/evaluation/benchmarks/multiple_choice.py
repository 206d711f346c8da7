"""Multiple choice: MMAU, MMAR, MMSU, AIR-Bench Foundation, MuchoMusic.

Columns and prompts are those of the tasks of lmms-eval 0.7.3.
"""

from __future__ import annotations

import json
import re
from functools import partial

from coat_ray.evaluation.benchmarks.entry import Doc, Key, PublicBenchmark, Source, by_text, lettered
from coat_ray.evaluation.marking import harness
from coat_ray.evaluation.marking.rules import CHOICE, LETTERS

_OPTION = re.compile(r"\(([A-Z])\)\s*(.*?)\s*(?=\([A-Z]\)|$)", re.DOTALL)
_NUMBERED = re.compile(r"^\(?[A-Za-z][.):]\s*")
AIR_CHOICES = ("choice_a", "choice_b", "choice_c", "choice_d")


def _listed(options: tuple[str, ...] | list[str]) -> str:
    return "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))


def _mmau_options(doc: Doc) -> tuple[str, ...]:
    return tuple(str(choice) for choice in json.loads(doc["choices"]))


MMAU = PublicBenchmark(
    name="mmau",
    family="general",
    source=Source("test_mini", "see the dataset's card", "lmms-lab-audio/mmau"),
    task="multiple_choice",
    audio="audio",
    question=lambda doc: (
        f"{doc['question']}\n{_listed(_mmau_options(doc))}\n"
        "Answer with the option's letter from the given choices directly."
    ),
    key=lambda doc: by_text(_mmau_options(doc), doc["answer"]),
    max_new_tokens=128,
    strict=CHOICE,
    compatible=harness.spaced_choice(),
    like="mmau_test_mini",
    skill="task",
    id="id",
)


def _mmar_key(doc: Doc) -> Key:
    options = tuple(_NUMBERED.sub("", str(choice)).strip() for choice in doc["choices"])
    return lettered(options, str(doc["answer"]).strip().upper())


MMAR = PublicBenchmark(
    name="mmar",
    family="general",
    source=Source("test", "CC BY-NC 4.0", "ngqtrung/mmar"),
    task="multiple_choice",
    audio="audio",
    question=lambda doc: (
        "Listen to the audio and answer the following multiple-choice question. "
        "Respond with only the letter (A, B, C, or D) of the correct option.\n"
        f"{doc['question']}\n{chr(10).join(doc['choices'])}\nThe best answer is:"
    ),
    key=_mmar_key,
    max_new_tokens=128,
    strict=CHOICE,
    compatible=harness.texted_choice(),
    like="mmar",
    skill="modality",
    id="id",
)


def _mmsu_options(doc: Doc) -> tuple[str, ...]:
    return tuple(str(doc[column] or "") for column in AIR_CHOICES)


MMSU = PublicBenchmark(
    name="mmsu",
    family="general",
    source=Source("test", "see the dataset's card", "ngqtrung/mmsu"),
    task="multiple_choice",
    audio="audio",
    question=lambda doc: (
        "Listen to the audio and answer the following question.\n\n"
        f"Question: {doc['question']}\n\n{_listed(_mmsu_options(doc))}\n\n"
        "Answer with the letter (A, B, C, or D) only."
    ),
    key=lambda doc: lettered(_mmsu_options(doc), str(doc["answer"]).strip()),
    max_new_tokens=256,
    strict=CHOICE,
    compatible=harness.texted_choice(),
    like="mmsu",
    skill="category",
    id="id",
)


def _air_options(doc: Doc) -> tuple[str, ...]:
    return tuple(str(doc[column]) for column in AIR_CHOICES if doc.get(column))


def _air_question(doc: Doc) -> str:
    shown = _listed([str(doc.get(column)) for column in AIR_CHOICES])
    return f"{doc['question']}\n{shown}\n\nAnswer with the option's letter from the given choices directly."


_air_bench = partial(
    PublicBenchmark,
    family="air_bench",
    task="multiple_choice",
    audio="audio",
    question=_air_question,
    key=lambda doc: by_text(_air_options(doc), doc["answer_gt"]),
    max_new_tokens=256,
    strict=CHOICE,
    compatible=harness.spaced_choice(lambda item: item.letters),
    skill="task_name",
    id="uniq_id",
)
AIR_BENCH = tuple(
    _air_bench(
        name=f"air_bench_{split}",
        source=Source(split, "CC BY-NC 4.0; clips as their sources", "lmms-lab/AIR_Bench", "Foundation"),
        like=f"air_bench_foundation_{split}",
    )
    for split in ("speech", "sound", "music")
)

MUCHOMUSIC = PublicBenchmark(
    name="muchomusic",
    family="music",
    source=Source("test", "see the dataset's card", "lmms-lab-audio/muchomusic"),
    task="multiple_choice",
    audio="context",
    question=lambda doc: (
        f"{doc['instruction']}\n{doc['choices']}\nAnswer with the option's letter from the given choices directly: "
    ),
    key=lambda doc: lettered(tuple(text for _, text in _OPTION.findall(doc["choices"])), doc["answer"][1:2]),
    max_new_tokens=256,
    strict=CHOICE,
    compatible=harness.spaced_choice(),
    like="muchomusic",
)

MULTIPLE_CHOICE = (MMAU, MMAR, MMSU, *AIR_BENCH, MUCHOMUSIC)
