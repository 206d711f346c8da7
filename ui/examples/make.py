"""Render the page's examples anew: ``python -m ui.examples.make``. Needs eSpeak NG (the extra ``world``).

Facts are drawn from SoundWorld's test split, whose voices, timbres and phrases no shipped weights were trained on.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import soundfile

from coat_ray.corpus.soundworld.facts import Kind, sample_clip
from coat_ray.corpus.soundworld.questions import ask
from coat_ray.corpus.soundworld.render import SAMPLE_RATE, render
from ui.examples import FOLDER, Example

SEED = 8
WANTED: tuple[tuple[str, str, Kind, str], ...] = (
    ("melody", "A melody", "melody", "first_note"),
    ("instrument", "Another melody", "melody", "instrument"),
    ("mood", "Somebody speaks", "speech", "affect"),
    ("street", "Two sounds", "two_events", "last_sound"),
    ("background", "Speech over a sound", "speech_over_event", "background"),
    ("scene", "A sound", "event", "event"),
)
"""File, title, kind of clip, skill that is asked for."""


def main() -> None:
    """Write the clips and ``examples.json``."""
    made = []
    for index, (file, title, kind, skill) in enumerate(WANTED):
        rng = np.random.default_rng([SEED, index])
        facts = sample_clip("test", kind, rng)
        asked = next(qa for qa in ask(facts, rng) if qa.skill == skill)
        soundfile.write(FOLDER / f"{file}.wav", render(facts), SAMPLE_RATE, subtype="PCM_16")
        made.append(asdict(Example(f"{file}.wav", title, asked.question, asked.answer)))
    (FOLDER / "examples.json").write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
