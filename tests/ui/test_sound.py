"""Clips of visitors: decoded within bounds, and what is said of those that cannot be used."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from coat_ray.audio import AudioError, load_audio
from ui import sentences
from ui.examples import examples
from ui.page import uploaded
from ui.sessions import MOST_CLIPS, Session
from ui.sound import LIMITS, SAMPLE_RATE, Clip


def written(path, seconds, rate=8_000):
    soundfile.write(path, 0.1 * np.sin(np.arange(int(seconds * rate)) / 20), rate)
    return path


@pytest.fixture
def session():
    return Session("coat_x", {"role": "member", "tenant": "speech"}, client=None)


def test_a_clip_is_sent_and_played_as_a_small_wav(tmp_path):
    clip = Clip.read(written(tmp_path / "a.wav", 1.5))
    signal, rate = soundfile.read(io.BytesIO(clip.wav))
    assert (rate, len(signal)) == (SAMPLE_RATE, round(1.5 * SAMPLE_RATE))
    assert clip.seconds == pytest.approx(1.5)
    times, low, high = clip.outline()
    assert times == sorted(times)
    assert all(a <= b for a, b in zip(low, high, strict=True))


def test_the_same_sound_is_the_same_clip(tmp_path):
    first, second = (Clip.read(written(tmp_path / f"{name}.wav", 1)) for name in "ab")
    assert first.id == second.id


def test_what_cannot_be_used_is_said_in_a_sentence_that_names_no_place(tmp_path):
    (tmp_path / "letter.wav").write_text("dear all")
    written(tmp_path / "long.wav", LIMITS.max_seconds + 1)
    for name, word in (("letter.wav", "not audio"), ("long.wav", "too long")):
        with pytest.raises(AudioError) as caught:
            Clip.read(tmp_path / name)
        sentence = sentences.about_clip(caught.value, LIMITS.max_seconds)
        assert word in sentence
        assert str(tmp_path) not in sentence


def test_a_visitor_reads_own_uploads_and_examples_and_nothing_else(tmp_path, session):
    path = str(written(tmp_path / "a.wav", 1))
    with pytest.raises(PermissionError):
        uploaded(session, path)
    session.own(path)
    assert uploaded(session, path).id in session.clips
    assert uploaded(session, str(examples()[0].path)).seconds > 1
    with pytest.raises(PermissionError):
        uploaded(session, str(examples()[0].path.parent / ".." / "app.py"))


def test_memory_for_clips_is_bounded(session):
    for number in range(MOST_CLIPS + 3):
        session.keep(Clip("a", np.full(800, number / 100, np.float32)))
    assert len(session.clips) == MOST_CLIPS


def test_the_examples_are_small_and_each_has_a_question():
    found = examples()
    assert len(found) >= 5
    assert sum(example.path.stat().st_size for example in found) < 400_000
    for example in found:
        assert example.question
        assert example.answer
        assert len(load_audio(example.path, SAMPLE_RATE)) > SAMPLE_RATE
