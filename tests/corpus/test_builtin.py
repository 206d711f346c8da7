"""The shipped corpus is complete, clean and unpacked once, and own folders are checked."""

from __future__ import annotations

import multiprocessing
import re
import zipfile
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from coat_ray.audio import load_audio
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import ManifestError, Row, read_manifest
from coat_ray.corpus.soundworld.plan import PRESETS
from coat_ray.corpus.soundworld.splits import SPLITS, split_of
from coat_ray.corpus.soundworld.vocabulary import note_name
from coat_ray.storage import Storage
from tests.corpus.pitch import hertz

TASKS = {"asr", "audio_qa", "speech_qa", "caption", "multiple_choice", "music", "spoken_instruction", "text"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus_folder("soundworld-mini", Storage(tmp_path_factory.mktemp("coat")))


@pytest.fixture(scope="module")
def rows(folder: Path) -> dict[str, tuple[Row, ...]]:
    return {split: read_manifest(folder / f"{split}.jsonl").rows for split in SPLITS}


def test_the_archive_ships_small() -> None:
    assert files("coat_ray.corpus.soundworld").joinpath("mini.zip").stat().st_size <= 4_000_000


def test_unpacking_happens_once(tmp_path: Path) -> None:
    folder = corpus_folder("soundworld-mini", Storage(tmp_path))
    before = (folder / "train.jsonl").stat().st_mtime_ns
    assert corpus_folder("soundworld-mini", Storage(tmp_path)) == folder
    assert (folder / "train.jsonl").stat().st_mtime_ns == before
    assert [path.name for path in (tmp_path / "corpora").iterdir()] == [folder.name]


def _ask(root: str) -> str:
    return str(corpus_folder("soundworld-mini", Storage(Path(root))))


def test_several_processes_may_ask_at_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        answers = pool.map(_ask, [str(tmp_path)] * 3)
    assert len(set(answers)) == 1
    assert len(list((tmp_path / "corpora").iterdir())) == 1
    assert len(list((Path(answers[0]) / "clips").iterdir())) == _clips("train") + _clips("validation") + _clips("test")


def test_a_failed_unpacking_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    with pytest.raises(OSError, match="disk full"):
        corpus_folder("soundworld-mini", Storage(tmp_path))
    assert list((tmp_path / "corpora").iterdir()) == []


def _clips(split: str) -> int:
    return sum(PRESETS["mini"].clips[split].values())  # type: ignore[index]


def test_sizes_are_those_of_the_plan(rows: dict[str, tuple[Row, ...]]) -> None:
    for split in SPLITS:
        assert len({row.audios for row in rows[split] if row.audios}) == _clips(split)


def test_every_task_has_a_hundred_test_questions_and_occurs_everywhere(rows: dict[str, tuple[Row, ...]]) -> None:
    counts = Counter(row.task for row in rows["test"])
    assert set(counts) == TASKS
    assert min(counts.values()) >= 100
    for split in SPLITS:
        assert {row.task for row in rows[split]} == TASKS


def test_every_clip_has_two_to_four_rows(rows: dict[str, tuple[Row, ...]]) -> None:
    for split in SPLITS:
        asked = Counter(row.audios for row in rows[split] if row.audios)
        assert set(asked.values()) <= {2, 3, 4}


def test_every_clip_decodes_to_its_length(folder: Path, rows: dict[str, tuple[Row, ...]]) -> None:
    for row in {row.audios: row for row in rows["validation"] if row.audios}.values():
        signal = load_audio(folder / row.audios[0], 16_000)
        assert len(signal) / 16_000 == pytest.approx(row.seconds, abs=0.001)
        assert np.abs(signal).max() > 0.01


def test_the_first_note_of_shipped_melodies_is_the_answer(folder: Path, rows: dict[str, tuple[Row, ...]]) -> None:
    asked = [row for row in rows["test"] if row.meta == {"kind": "melody", "skill": "first_note"}]
    assert len(asked) > 10
    for row in asked:
        signal = load_audio(folder / row.audios[0], 16_000)[2240:5760]  # 0.14 to 0.36 s: inside the first note
        midi = 69 + 12 * np.log2(hertz(signal, 16_000, 240, 1050) / 440)
        assert note_name(round(midi)) == row.answer


def test_phrases_and_written_questions_stay_in_their_split(rows: dict[str, tuple[Row, ...]]) -> None:
    for split in SPLITS:
        for row in rows[split]:
            if row.meta["skill"] == "transcript" and row.meta["kind"] in {"speech", "speech_over_event"}:
                assert split_of(row.answer) == split
    asked = {split: {row.prompt[0].content for row in rows[split] if row.task == "text"} for split in SPLITS}
    assert not asked["train"] & asked["test"]
    assert not asked["validation"] & (asked["train"] | asked["test"])


def test_note_names_lead_the_music_questions(rows: dict[str, tuple[Row, ...]]) -> None:
    music = [row for row in rows["train"] if row.task == "music"]
    note = re.compile(r"([a-g]( sharp)?)( [a-g]( sharp)?)*")
    assert sum(bool(note.fullmatch(row.answer)) for row in music) > 0.6 * len(music)


def test_own_folders_need_three_manifests(tmp_path: Path, folder: Path) -> None:
    assert corpus_folder(folder, Storage(tmp_path)) == folder
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(ManifestError, match=r"lacks validation\.jsonl, test\.jsonl"):
        corpus_folder(tmp_path, Storage(tmp_path))
    with pytest.raises(ManifestError, match=r"no corpus 'soundwrld'.*soundworld-mini"):
        corpus_folder("soundwrld", Storage(tmp_path))


def laid(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("train.jsonl", "validation.jsonl", "test.jsonl"):
        (folder / name).touch()
    return folder


def test_a_registered_corpus_is_found_by_its_name_before_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, here = Storage(tmp_path / "coat"), laid(tmp_path / "here" / "bells")
    monkeypatch.chdir(tmp_path / "here")
    assert corpus_folder("bells", storage) == Path("bells")
    registered = laid(storage.corpora / "bells")
    assert corpus_folder("bells", storage) == registered
    assert corpus_folder("./bells", storage).resolve() == here


def test_a_shared_corpus_is_found_by_its_owner_and_name_in_one_place_only(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    laid(storage.corpora / "music" / "bells")
    laid(tmp_path / "tenants" / "music" / "corpora" / "bells")
    with pytest.raises(ManifestError, match="no corpus 'music/bells'"):
        corpus_folder("music/bells", storage)
    shared = laid(storage.shared / "corpora" / "music" / "bells")
    assert corpus_folder("music/bells", storage) == shared


@pytest.mark.parametrize("name", ["..", "../corpora/bells", "music/../bells", "a/b/c", ""])
def test_a_name_that_leads_elsewhere_is_no_registered_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    storage = Storage(tmp_path / "coat")
    laid(storage.corpora / "bells")
    laid(storage.shared / "corpora" / "bells")
    with pytest.raises(ManifestError):
        corpus_folder(name, storage)
