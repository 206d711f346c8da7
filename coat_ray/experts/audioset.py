"""Names of the AudioSet classes that the embedded world uses, at their places among the tagger's 527 outputs.

Class names: AudioSet ontology, Google, CC BY 4.0. The other outputs are called by their number; a file
``class_labels_indices.csv`` (columns index, mid, display_name) beside the official checkpoint names them all.
"""

from __future__ import annotations

import csv

from coat_ray.experts.weights import cache_folder

NUM_CLASSES = 527
LABEL_FILE = "class_labels_indices.csv"

CLASSES: dict[str, int] = {
    "Speech": 0,
    "Male speech, man speaking": 1,
    "Female speech, woman speaking": 2,
    "Clapping": 63,
    "Applause": 67,
    "Animal": 72,
    "Dog": 74,
    "Bark": 75,
    "Cat": 81,
    "Bird": 111,
    "Bird vocalization, bird call, bird song": 112,
    "Chirp, tweet": 113,
    "Music": 137,
    "Musical instrument": 138,
    "Guitar": 140,
    "Acoustic guitar": 143,
    "Piano": 153,
    "Organ": 155,
    "Trumpet": 187,
    "Violin, fiddle": 191,
    "Flute": 196,
    "Bell": 200,
    "Church bell": 201,
    "Wind": 283,
    "Water": 288,
    "Rain": 289,
    "Vehicle": 300,
    "Engine": 343,
    "Idling": 352,
    "Knock": 359,
    "Alarm": 388,
    "Alarm clock": 395,
    "Siren": 396,
    "Clock": 406,
    "Tick": 407,
    "Tick-tock": 408,
    "Drip": 448,
    "Beep, bleep": 481,
    "Silence": 500,
}


def labels() -> tuple[str, ...]:
    """A name for each of the 527 outputs, in order."""
    path = cache_folder() / LABEL_FILE
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as handle:
            named = {int(row["index"]): row["display_name"] for row in csv.DictReader(handle)}
    else:
        named = {index: name for name, index in CLASSES.items()}
    return tuple(named.get(index, f"AudioSet class {index}") for index in range(NUM_CLASSES))
