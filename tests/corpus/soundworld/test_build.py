"""A corpus is written whole or not at all, the same for the same seed, and packs into equal bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coat_ray.audio import load_audio
from coat_ray.corpus.manifest import read_manifest
from coat_ray.corpus.soundworld import build as building
from coat_ray.corpus.soundworld.build import build_corpus, pack
from coat_ray.corpus.soundworld.facts import KINDS, sample_clip
from coat_ray.corpus.soundworld.plan import PRESETS, SLOTS, choose
from coat_ray.corpus.soundworld.questions import ask
from coat_ray.corpus.soundworld.splits import SPLITS


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "tiny"
    build_corpus(folder, "tiny", seed=7, progress=False)
    return folder


def test_the_same_seed_makes_the_same_corpus_with_any_number_of_workers(tiny: Path, tmp_path: Path) -> None:
    build_corpus(tmp_path / "again", "tiny", seed=7, workers=2, progress=False)
    build_corpus(tmp_path / "other", "tiny", seed=8, progress=False)
    for split in SPLITS:
        expected = (tiny / f"{split}.jsonl").read_bytes()
        assert (tmp_path / "again" / f"{split}.jsonl").read_bytes() == expected
        assert (tmp_path / "other" / f"{split}.jsonl").read_bytes() != expected
    for clip in sorted((tiny / "clips").iterdir()):
        same = load_audio(tmp_path / "again" / "clips" / clip.name, 16_000)
        np.testing.assert_array_equal(load_audio(clip, 16_000), same)


def test_the_card_agrees_with_the_manifests(tiny: Path) -> None:
    card = json.loads((tiny / "world.json").read_text())
    assert (card["name"], card["seed"]) == ("soundworld-tiny", 7)
    seconds = 0.0
    for split in SPLITS:
        manifest = read_manifest(tiny / f"{split}.jsonl")
        assert sum(card["splits"][split]["rows"].values()) == len(manifest.rows)
        clips = {row.audios[0]: row.seconds for row in manifest.rows if row.audios}
        assert sum(card["splits"][split]["clips"].values()) == len(clips)
        assert all((tiny / uri).is_file() for uri in clips)
        seconds += sum(value or 0 for value in clips.values())
    assert card["seconds"] == pytest.approx(seconds, abs=0.1)
    assert len(list((tiny / "clips").iterdir())) == sum(sum(c.values()) for c in PRESETS["tiny"].clips.values())


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(building, "write_manifest", fail)
    with pytest.raises(OSError, match="disk full"):
        build_corpus(tmp_path / "world", "tiny", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_overwritten(tiny: Path) -> None:
    with pytest.raises(FileExistsError, match="exists already"):
        build_corpus(tiny, "tiny")
    with pytest.raises(ValueError, match="choose one of full, mini, tiny"):
        build_corpus(tiny, "enormous")


def test_packing_gives_equal_bytes(tiny: Path, tmp_path: Path) -> None:
    assert pack(tiny, tmp_path / "a.zip") == pack(tiny, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_clips_of_a_kind_take_turns_through_the_skills() -> None:
    rng = np.random.default_rng(0)
    for kind in KINDS:
        asked: set[str] = set()
        for turn in range(12):
            chosen = choose(kind, turn, ask(sample_clip("train", kind, rng), rng))
            assert len(chosen) == len(SLOTS[kind])
            assert len({qa.skill for qa in chosen}) == len(chosen)
            asked |= {qa.skill for qa in chosen}
        assert asked == {skill for slot in SLOTS[kind] for skill in slot}
