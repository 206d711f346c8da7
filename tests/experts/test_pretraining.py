"""Pretraining of the embedded teachers: its parts, and a run too short to learn anything."""

import json
from itertools import islice

import numpy as np
import pytest
import torch

from coat_ray.corpus.soundworld import vocabulary
from coat_ray.experts import audioset, waveform, weights
from coat_ray.experts.emotion2vec import EMBEDDED, Emotion2vecEncoder
from coat_ray.experts.panns import Panns
from coat_ray.experts.pretraining import SCHEDULES, Schedule, pretrain_experts
from coat_ray.experts.pretraining.data import LETTERS, Example, by_length, draws, flat_alignment, letters_of, spell
from coat_ray.experts.pretraining.front import LogMelReader, as_emotion2vec
from coat_ray.experts.spidr import FeatureExtractor, Spidr

SHORT = {name: Schedule(steps=2, batch=4, lr=1e-3) for name in SCHEDULES}


def clips(number: int) -> list[Example]:
    rng = np.random.default_rng(0)
    return [
        Example(
            signal=(0.1 * rng.standard_normal(19_200 + 1600 * (i % 2))).astype(np.float32),
            text="red bird",
            affect=vocabulary.AFFECTS[i % 4],
            sex=vocabulary.SEXES[i % 2],
            classes=frozenset({"Speech", [*vocabulary.EVENTS.values()][i % 12].audioset}),
        )
        for i in range(number)
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedded")
    lines: list[str] = []
    pretrain_experts(folder, 0, lambda split, subject: clips(12), SHORT, lines.append)
    return folder, lines


def test_a_run_writes_weights_that_the_teachers_load(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.setattr(weights, "EMBEDDED_FOLDER", folder)
    clip = np.zeros(32_000, np.float32)
    assert Spidr.load().encode([clip])[0].shape == (99, 96)
    assert Panns.load().encode([clip])[0].shape == (3, 128)


def test_a_run_says_what_came_out(trained):
    folder, lines = trained
    card = json.loads((folder / "card.json").read_text())
    for split in ("validation", "test"):
        assert card["spidr"]["scores"][split].keys() == {"letter_error", "word_error"}
        assert card["panns"]["scores"][split].keys() == {"events_map", "instruments_map"}
        assert 0 <= card["emotion2vec"]["scores"][split]["affect_accuracy"] <= 1
    assert card["spidr"]["schedule"] == {"steps": 2, "batch": 4, "lr": 1e-3}
    assert any(line.startswith("panns: 12 clips to learn from") for line in lines)


def test_the_same_seed_gives_the_same_weights(trained, tmp_path):
    folder, _ = trained
    some = {name: SHORT[name] for name in ("front", "spidr")}
    pretrain_experts(tmp_path, 0, lambda split, subject: clips(12), some)
    assert (tmp_path / "spidr.safetensors").read_bytes() == (folder / "spidr.safetensors").read_bytes()


def test_the_shipped_teachers_have_a_card_with_their_scores():
    card = json.loads((weights.EMBEDDED_FOLDER / "card.json").read_text())
    assert card["panns"]["scores"]["test"]["events_map"] > 0.8
    assert card["emotion2vec"]["scores"]["test"]["affect_accuracy"] > 0.6
    assert card["spidr"]["scores"]["test"]["letter_error"] < 0.2


def test_every_class_of_the_world_has_its_place_among_the_527():
    named = [*vocabulary.EVENTS.values(), *vocabulary.INSTRUMENTS.values()]
    wanted = {name.audioset for name in named} | set(vocabulary.SPEECH_AUDIOSET.values()) | {"Speech", "Music"}
    assert wanted <= audioset.CLASSES.keys()
    labels = audioset.labels()
    assert len(labels) == len(set(labels)) == 527
    assert [labels[i] for i in (0, 74, 137, 289, 396)] == ["Speech", "Dog", "Music", "Rain", "Siren"]


def test_a_label_file_beside_the_official_weights_names_every_class(tmp_path, monkeypatch):
    monkeypatch.setenv("COAT_HOME", str(tmp_path))
    path = weights.cache_folder() / audioset.LABEL_FILE
    path.parent.mkdir(parents=True)
    path.write_text("index,mid,display_name\n" + "".join(f'{i},/m/{i},"name, {i}"\n' for i in range(527)))
    assert audioset.labels()[526] == "name, 526"


def test_a_best_path_is_collapsed_to_text():
    path = [0, *letters_of("to").tolist(), 0, *letters_of("o ").tolist(), *letters_of("m").tolist(), 0]
    assert spell(path) == "too m"
    assert spell([2, 2, 2]) == "a"


def test_the_first_guess_spreads_letters_over_the_loud_part():
    signal = np.zeros(16_000, np.float32)
    signal[4000:12_000] = np.sin(np.arange(8000))
    guess = flat_alignment(signal, 19_200, "ab")
    assert len(guess) == waveform.num_frames(19_200)
    assert {LETTERS[i] for i in guess[:10]} == {"blank"}
    assert {LETTERS[i] for i in guess[40:]} == {"blank"}
    assert (LETTERS[guess[14]], LETTERS[guess[34]]) == ("a", "b")


def test_a_round_draws_every_clip_once():
    groups = by_length(clips(13))
    num_batches = sum(-(-len(group) // 4) for group in groups.values())
    drawn = [
        (length, place)
        for length, places in islice(draws(groups, 4, np.random.default_rng(0)), num_batches)
        for place in places
    ]
    assert sorted(drawn) == sorted((length, place) for length, group in groups.items() for place in range(len(group)))


def test_both_waveform_encoders_share_their_first_convolutions():
    front = FeatureExtractor(EMBEDDED.conv_dim)
    encoder = Emotion2vecEncoder(EMBEDDED)
    encoder.audio.local_encoder.load_state_dict(as_emotion2vec(front))
    waves = torch.randn(2, 8000)
    torch.testing.assert_close(encoder.audio.local_encoder(waves).transpose(1, 2), front(waves))


def test_the_mel_target_lies_on_the_encoders_grid():
    reader = LogMelReader(channels=8)
    target = reader.target(torch.randn(2, 8000))
    assert target.shape == (2, waveform.num_frames(8000), 40)
