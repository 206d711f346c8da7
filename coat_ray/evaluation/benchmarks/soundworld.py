"""SoundWorld's held-out test, and any corpus with the same task groups: WER for transcription, accuracy for the rest.

Answers are short and closed, so accuracy is an exact match after normalisation, captions included; multiple choice is
read from the letter or the option's text.
"""

from __future__ import annotations

from coat_ray.evaluation.benchmarks.base import Benchmark

SOUNDWORLD = Benchmark(
    name="soundworld",
    tasks={
        "asr": "words",
        "audio_qa": "exact",
        "speech_qa": "exact",
        "caption": "exact",
        "multiple_choice": "choice",
        "music": "exact",
        "spoken_instruction": "exact",
        "text": "exact",
    },
    licence="Apache-2.0",
)
