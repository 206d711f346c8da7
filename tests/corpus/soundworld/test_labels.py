"""Facts drawn again from a corpus' card are those its clips were made of."""

import json
import shutil

import pytest

from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import ManifestError, read_manifest
from coat_ray.corpus.soundworld.labels import CARD, clip_facts
from coat_ray.storage import Storage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return corpus_folder("soundworld-mini", Storage(tmp_path_factory.mktemp("corpora")))


@pytest.fixture
def copied(folder, tmp_path):
    """Card and manifests alone."""
    for name in (CARD, "validation.jsonl"):
        shutil.copy(folder / name, tmp_path / name)
    return tmp_path


def test_every_clip_has_facts_and_every_caption_tells_them(folder):
    facts = clip_facts(folder, "validation")
    rows = read_manifest(folder / "validation.jsonl").rows
    assert set(facts) == {uri for row in rows for uri in row.audios}
    for row in (row for row in rows if row.meta["skill"] == "caption"):
        speech, melody = facts[row.audios[0]].speech, facts[row.audios[0]].melody
        if speech:
            assert speech.affect in row.answer
            assert speech.voice.sex in row.answer
        if melody:
            assert melody.instrument in row.answer


def test_splits_share_no_voice_timbre_or_melody(folder):
    train, test = (clip_facts(folder, split).values() for split in ("train", "test"))
    for value in (
        lambda f: f.speech and f.speech.voice,
        lambda f: f.melody and f.melody.timbre,
        lambda f: f.melody and f.melody.key,
    ):
        found = [{value(facts) for facts in split} - {None} for split in (train, test)]
        assert found[0]
        assert not found[0] & found[1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "1"}, "of version 1"),
        ({"name": "soundworld-own"}, "soundworld-own"),
        ({"seed": 2}, "the card says"),
    ],
)
def test_another_corpus_is_refused(copied, change, sentence):
    card = json.loads((copied / CARD).read_text()) | change
    (copied / CARD).write_text(json.dumps(card))
    with pytest.raises(ManifestError, match=sentence):
        clip_facts(copied, "validation")


def test_a_folder_without_a_card_is_no_soundworld(tmp_path):
    with pytest.raises(ManifestError, match="no SoundWorld corpus"):
        clip_facts(tmp_path, "test")
