"""Answers in free words: ClothoAQA (one word), Alpaca-Audio and WavCaps (marked by a judge).

Columns and prompts are those of the tasks of lmms-eval 0.7.3.
"""

from __future__ import annotations

from coat_ray.evaluation.benchmarks.entry import JUDGED, Key, PublicBenchmark, Source
from coat_ray.evaluation.marking import harness
from coat_ray.evaluation.marking.rules import CLOSED

CLOTHO_AQA = PublicBenchmark(
    name="clotho_aqa",
    family="general",
    source=Source("clotho_aqa_test_filtered", "MIT (annotations)", "lmms-lab-audio/ClothoAQA", "clotho_aqa"),
    task="audio_qa",
    audio="audio",
    question=lambda doc: f"{doc['question']}\nAnswer the question using a single word only. ",
    key=lambda doc: Key(str(doc["answer"])),
    max_new_tokens=8,
    strict=CLOSED,
    compatible=harness.EXACT,
    like="clotho_aqa_test",
)

ALPACA_AUDIO = PublicBenchmark(
    name="alpaca_audio",
    family="general",
    source=Source("test", "CC BY-NC 4.0 (Alpaca)", "lmms-lab-audio/alpaca_audio"),
    task="spoken_instruction",
    audio="context",
    question=lambda _: "Please give a detail answer to the question in the audio.",
    key=lambda doc: Key(doc["answer"], target=doc["speech_instruction"]),
    max_new_tokens=1024,
    strict=JUDGED,
    compatible=JUDGED,
    like="alpaca_audio",
    judge="rating_anywhere",
)

WAVCAPS = PublicBenchmark(
    name="wavcaps",
    family="general",
    source=Source("test", "academic use only (WavCaps)", "AudioLLMs/wavcaps_test"),
    task="caption",
    audio="context",
    question=lambda doc: doc["instruction"],
    key=lambda doc: Key(doc["answer"], target=doc["instruction"]),
    max_new_tokens=1024,
    strict=JUDGED,
    compatible=JUDGED,
    like="wavcaps",
    judge="rating_at_end",
)

OPEN_ENDED = (CLOTHO_AQA, ALPACA_AUDIO, WAVCAPS)
