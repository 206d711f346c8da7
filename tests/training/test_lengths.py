"""The plan's lengths are those that the collator lays out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from coat_ray.config import BackboneConfig, ConfigError
from coat_ray.corpus.manifest import Manifest, Message, Row
from coat_ray.model.backbones import load_backbone
from coat_ray.model.backbones.base import FrontEnd
from coat_ray.training.batches import Collator
from coat_ray.training.lengths import row_lengths
from tests.model.families import TINY

RATE = 16_000


@pytest.fixture(scope="module", params=TINY)
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrontEnd:
    folder = tmp_path_factory.mktemp(request.param)
    TINY[request.param](folder)
    return load_backbone(BackboneConfig(family=request.param, weights=str(folder))).front


def row(name: str, *turns: str, clips: tuple[str, ...] = (), seconds: float | None = None) -> Row:
    roles = ["user", "assistant"] * len(turns)
    messages = tuple(Message(role=role, content=turn) for role, turn in zip(roles, turns, strict=False))  # type: ignore[arg-type]
    return Row(id=name, messages=messages, audios=clips, seconds=seconds)


ROWS = [
    row("text", "what sound is heard", "a dog barks"),
    row("clip", "<audio>\nwhich note comes first", "c sharp", clips=("one.wav",), seconds=1.3),
    row("clips", "<audio>\nand <audio>\nwhat sound is heard", "a dog", clips=("one.wav", "one.wav"), seconds=2.6),
    row("turns", "<audio>\nwhat sound", "a dog barks", "which note", "c", clips=("one.wav",), seconds=1.3),
]


def test_text_template_clips_and_block_are_counted_as_they_are_laid_out(front: FrontEnd, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "one.wav", 0.1 * np.ones(round(1.3 * RATE)), RATE)
    collate = Collator(Manifest(tuple(ROWS), tmp_path), front, {}, block=True)
    laid_out = [int(collate([row.id], []).attention_mask_BS[0].sum()) for row in ROWS]
    assert row_lengths(ROWS, front) == pytest.approx(laid_out, abs=2)  # a token may span text and template


def test_a_budget_needs_to_know_how_long_clips_are(front: FrontEnd) -> None:
    unknown = row("quiet", "<audio>\nwhat sound is heard", "a dog", clips=("one.wav",))
    assert row_lengths([unknown], front)[0] > 0
    with pytest.raises(ConfigError, match="row 'quiet' does not say how long"):
        row_lengths([unknown], front, exact=True)
