"""Readings say in words and numbers what the heads find in a block."""

import pytest
import torch

from coat_ray.model.coat import CoatModel
from coat_ray.model.reading import bin_to_midi, contour_labels, describe, note_name, note_sequence, read_block


def posteriorgram(*notes: tuple[int, int, int], length: int = 40) -> torch.Tensor:
    """Probabilities (length, 264) with (midi, from, to) sounding."""
    values = torch.full((length, 264), 0.01)
    for midi, start, stop in notes:
        values[start:stop, 3 * (midi - 21) + 1] = 0.9
    return values


@pytest.mark.parametrize(("midi", "name"), [(69, "A4"), (60, "C4"), (61, "C#4"), (21, "A0")])
def test_notes_have_their_names(midi, name):
    assert note_name(midi) == name
    assert bin_to_midi(3 * (midi - 21) + 1) == midi


def test_440_hz_is_bin_145():
    assert contour_labels(264)[145] == "A4"


def test_a_melody_is_read_in_order_with_its_times():
    values = posteriorgram((60, 2, 12), (67, 14, 30))
    assert note_sequence(values) == "C4 from 0.08 s, G4 from 0.56 s"


def test_a_flicker_is_no_note_and_silence_has_no_pitch():
    assert note_sequence(posteriorgram((60, 5, 7))) == "no clear pitch"
    assert note_sequence(posteriorgram()) == "no clear pitch"


def test_every_head_with_a_reader_reads_the_block(config, specs):
    model = CoatModel.create(config, block=True, specs=specs).eval()
    readings = read_block(model, torch.randn(25, model.backbone.hidden_size), sounding=20)
    assert set(readings) == set(specs)
    assert all(reading.values.shape[0] == 20 for reading in readings.values())
    assert readings["sed"].values.max() <= 1
    torch.testing.assert_close(readings["paralinguistic"].values.sum(1), torch.ones(20))
    assert [what for what, _ in describe(readings)] == sorted(
        f"{role} ({spec.name})" for role, (spec, _) in specs.items()
    )
    assert readings["sed"].to_json()["positions"] == 20


def test_without_a_block_there_is_nothing_to_read(config, specs):
    model = CoatModel.create(config, block=True, specs=specs)
    assert read_block(model, torch.zeros(0, model.backbone.hidden_size), sounding=0) == {}
