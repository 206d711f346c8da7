"""Speech recognition: LibriSpeech, Common Voice 15, GigaSpeech, VoxPopuli, SPGISpeech, Switchboard.

Columns and prompts are those of the tasks of lmms-eval 0.7.3; Switchboard has none there and is asked and marked like
the open ASR task.
"""

from __future__ import annotations

from functools import partial

from coat_ray.evaluation.benchmarks.entry import Key, PublicBenchmark, Source
from coat_ray.evaluation.marking import harness
from coat_ray.evaluation.marking.rules import WORDS

PROMPT = "Please recognize the speech and only output the recognized content:"
GIGASPEECH_TAGS = {"<COMMA>": ",", "<PERIOD>": ".", "<QUESTION>": "?", "<EXCLAMATION>": "!"}

_asr = partial(
    PublicBenchmark,
    family="asr",
    task="asr",
    audio="audio",
    question=lambda _: PROMPT,
    strict=WORDS,
    compatible=harness.WORDS,
)

LIBRISPEECH = tuple(
    _asr(
        name=f"librispeech_{part}",
        source=Source(
            f"librispeech_test_{part}", "CC BY 4.0", "lmms-lab-audio/librispeech", f"librispeech_test_{part}"
        ),
        key=lambda doc: Key(doc["gt"]),
        max_new_tokens=256,
        like=f"librispeech_test_{part}",
    )
    for part in ("clean", "other")
)

COMMON_VOICE = _asr(
    name="common_voice_15_en",
    source=Source("test", "CC0-1.0", "lmms-lab-audio/common_voice_15", "en"),
    key=lambda doc: Key(doc["sentence"]),
    max_new_tokens=256,
    like="common_voice_15_en",
    id="path",
)


def _gigaspeech_text(text: str) -> str:
    for tag, sign in GIGASPEECH_TAGS.items():
        text = text.replace(tag, sign)
    return text


GIGASPEECH = _asr(
    name="gigaspeech",
    source=Source("test", "GigaSpeech terms, non-commercial research", "lmms-lab-audio/gigaspeech", "test"),
    key=lambda doc: Key(_gigaspeech_text(doc["gt"])),
    max_new_tokens=256,
    compatible=harness.WORDS_ENGLISH,
    like="gigaspeech_test",
)

VOXPOPULI = _asr(
    name="voxpopuli_en",
    source=Source("test", "CC0-1.0", "facebook/voxpopuli", "en"),
    question=lambda _: "Please transcribe the following audio in en.",
    key=lambda doc: Key(doc["normalized_text"]),
    max_new_tokens=2048,
    compatible=harness.UTTERANCE_WORDS,
    like="voxpopuli_en",
    id="audio_id",
)

SPGISPEECH = _asr(
    name="spgispeech",
    source=Source("test", "Kensho user agreement", "hf-audio/esb-datasets-test-only-sorted", "spgispeech"),
    key=lambda doc: Key(doc["text"]),
    max_new_tokens=512,
    like="open_asr_spgispeech (there with 4096 tokens)",
    id="id",
)

SWITCHBOARD = _asr(
    name="switchboard",
    source=Source(
        "test",
        "LDC user agreement",
        obtain="licence Hub5'00 from the LDC (LDC2002S09, LDC2002T43); one row a segment with audio, text and id",
    ),
    key=lambda doc: Key(doc["text"]),
    max_new_tokens=512,
    like="none in lmms-eval 0.7.3; asked and marked as open_asr",
    id="id",
)

TRANSCRIPTION = (*LIBRISPEECH, COMMON_VOICE, GIGASPEECH, VOXPOPULI, SPGISPEECH, SWITCHBOARD)
