"""Sounds are what their facts say: pitch, length, level, voice; and a pure function of the facts."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfilt

from coat_ray.audio import load_audio
from coat_ray.corpus.soundworld import vocabulary as words
from coat_ray.corpus.soundworld.build import OPUS_COMPRESSION
from coat_ray.corpus.soundworld.events import EVENT_SOURCES, event
from coat_ray.corpus.soundworld.facts import KINDS, ClipFacts, MelodyFacts, NoteFacts, Prosody, sample_clip
from coat_ray.corpus.soundworld.instruments import RECIPES
from coat_ray.corpus.soundworld.render import SAMPLE_RATE, render
from coat_ray.corpus.soundworld.splits import SPLITS, TIMBRES, VOICES
from coat_ray.corpus.soundworld.voices import ESPEAK_RATE, SpeechUnavailableError, speak
from tests.corpus.pitch import hertz

PLAIN = Prosody(rate=160, pitch=50, range=50, volume=100, effort=0.1)


def some_clips(count: int, seed: int = 0) -> list[ClipFacts]:
    rng = np.random.default_rng(seed)
    return [sample_clip(SPLITS[i % 3], kind, rng) for i in range(count) for kind in KINDS]


def as_opus(signal: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    soundfile.write(buffer, signal, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=OPUS_COMPRESSION)
    return load_audio(buffer.getvalue(), SAMPLE_RATE)


def scale(instrument: str, timbre: int, *midi: int) -> ClipFacts:
    notes = tuple(NoteFacts(m, 0.08 + 0.45 * i, 0.42) for i, m in enumerate(midi))
    return ClipFacts("melody", "test", 3, 0.0, melody=MelodyFacts(instrument, timbre, notes, 0.0))


@pytest.mark.parametrize("coded", [False, True], ids=["as rendered", "as shipped"])
@pytest.mark.parametrize("instrument", sorted(RECIPES))
def test_every_note_has_its_pitch(instrument: str, coded: bool) -> None:
    for timbre in (0, 8, 10, 13):
        midi = (60 + timbre, 83 - timbre, 66 + timbre // 2, 60)
        signal = render(scale(instrument, timbre, *midi))
        signal = as_opus(signal) if coded else signal
        for i, wanted in enumerate(midi):
            start = round((0.08 + 0.45 * i + 0.06) * SAMPLE_RATE)
            heard = hertz(signal[start : start + 4000], SAMPLE_RATE, 240, 1050)
            assert abs(1200 * np.log2(heard / words.frequency(wanted))) < 25, (instrument, timbre, wanted, heard)


def test_clips_keep_to_length_and_level() -> None:
    for facts in some_clips(9):
        signal = render(facts)
        assert signal.dtype == np.float32
        assert signal.ndim == 1
        assert 1.2 <= len(signal) / SAMPLE_RATE <= 2.7
        assert np.isfinite(signal).all()
        assert 0.02 < np.abs(signal).max() <= 0.99


def test_a_clip_follows_from_its_facts_whatever_was_rendered_before() -> None:
    clips = some_clips(2)
    first = [render(facts) for facts in clips]
    for facts, signal in reversed(list(zip(clips, first, strict=True))):
        np.testing.assert_array_equal(render(facts), signal)


def test_a_fresh_process_renders_the_same_speech() -> None:
    program = (
        "import hashlib, numpy as np\n"
        "from coat_ray.corpus.soundworld.facts import sample_clip\n"
        "from coat_ray.corpus.soundworld.render import render\n"
        "print(hashlib.sha256(render(sample_clip('test', 'speech', np.random.default_rng(4))).tobytes()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    render(some_clips(1)[0])
    here = render(sample_clip("test", "speech", np.random.default_rng(4)))
    assert hashlib.sha256(here.tobytes()).hexdigest() == there


def test_women_speak_higher_than_men_in_every_split() -> None:
    heard: dict[str, list[float]] = {"man": [], "woman": []}
    for split in SPLITS:
        for voice in VOICES[split]:
            signal = speak("the small red bird sings now", voice.name, PLAIN)
            frames = signal[: len(signal) // 1024 * 1024].reshape(-1, 1024)
            loud = frames[frames.std(1) > 0.5 * frames.std(1).max()]
            heard[voice.sex].append(float(np.median([hertz(frame, ESPEAK_RATE, 65, 400) for frame in loud])))
    assert max(heard["man"]) < 150
    assert min(heard["woman"]) > 160


def test_every_voice_is_a_variant_that_exists() -> None:
    fallback = {base: speak("hot", f"{base}+nobody", PLAIN).tobytes() for base in ("en-us", "en-gb-x-rp")}
    spoken = {voice.name: speak("hot", voice.name, PLAIN).tobytes() for split in SPLITS for voice in VOICES[split]}
    assert len(set(spoken.values())) == len(spoken)
    assert not set(spoken.values()) & set(fallback.values())
    with pytest.raises(SpeechUnavailableError, match="no voice named 'martian'"):
        speak("hot", "martian", PLAIN)


def test_affect_is_heard_in_level_pace_and_brightness() -> None:
    rng = np.random.default_rng(0)
    clips = [sample_clip("train", "speech", rng) for _ in range(60)]
    measured: dict[str, list[tuple[float, float]]] = {affect: [] for affect in words.AFFECTS}
    for facts in clips:
        assert facts.speech
        signal = render(replace(facts, gain=0.0))
        bright = sosfilt(butter(2, 2000, "high", fs=SAMPLE_RATE, output="sos"), signal)
        measured[facts.speech.affect].append((float(signal.std()), float(bright.std() / signal.std())))
    level, brightness = ({k: np.median([v[i] for v in vs]) for k, vs in measured.items()} for i in (0, 1))
    assert level["angry"] > level["happy"] > level["sad"]
    assert brightness["angry"] > 1.5 * brightness["sad"]


@pytest.mark.parametrize("name", sorted(EVENT_SOURCES))
def test_an_event_has_its_level_and_a_timbre_of_its_own(name: str) -> None:
    def profile(timbre: int) -> np.ndarray:
        power = np.abs(np.fft.rfft(event(name, timbre, 1.5, seed=1))) ** 2
        bands = power[:12_000].reshape(60, -1).sum(1)
        return np.sqrt(bands / bands.sum())

    for timbre in tuple(t[0] for t in TIMBRES.values()):
        signal = event(name, timbre, 1.5, seed=1)
        assert len(signal) == 24_000
        assert 0.02 < signal.std() < 0.1
        np.testing.assert_array_equal(signal, event(name, timbre, 1.5, seed=1))
        assert not np.array_equal(signal, event(name, timbre, 1.5, seed=2))
    assert profile(0) @ profile(10) < 0.999


def test_every_event_of_the_vocabulary_can_be_heard() -> None:
    assert set(EVENT_SOURCES) == set(words.EVENTS)
    assert set(RECIPES) == set(words.INSTRUMENTS)


def test_without_espeak_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(SpeechUnavailableError, match=r"coat-ray\[world\]"):
        render(sample_clip("train", "speech", np.random.default_rng(0)))
    assert len(render(sample_clip("train", "melody", np.random.default_rng(0))))
