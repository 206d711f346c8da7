"""The decoder takes every common format, refuses what it cannot use with a reason, and keeps to its limits."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from coat_ray.audio import DEFAULT_LIMITS, AudioError, AudioLimits, clip_id, headers, load_audio, resample
from coat_ray.audio.decode import gather

RATE = 16_000
SECONDS = 3


def tone(seconds: float = SECONDS, rate: int = RATE, hertz: float = 440) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def by_soundfile(kind: str, subtype: str | None = None, signal: np.ndarray | None = None, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone() if signal is None else signal, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def by_av(kind: str, codec: str, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        context = stream.codec_context
        frame = av.AudioFrame.from_ndarray(tone(rate=rate)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        fit = av.AudioResampler(context.format, context.layout, rate, frame_size=context.frame_size or 1024)
        for part in (*fit.resample(frame), *fit.resample(None), None):
            container.mux(stream.encode(part))
    return buffer.getvalue()


def make(name: str) -> bytes:
    return {
        "wav": lambda: by_soundfile("WAV", "PCM_16"),
        "wav-float": lambda: by_soundfile("WAV", "FLOAT"),
        "rf64": lambda: by_soundfile("RF64", "PCM_16"),
        "aiff": lambda: by_soundfile("AIFF", "PCM_16"),
        "flac": lambda: by_soundfile("FLAC"),
        "vorbis": lambda: by_soundfile("OGG", "VORBIS"),
        "opus": lambda: by_soundfile("OGG", "OPUS"),
        "mp3": lambda: by_av("mp3", "libmp3lame"),
        "m4a": lambda: by_av("ipod", "aac"),
        "webm": lambda: by_av("webm", "libopus", 48_000),
        "adts": lambda: by_av("adts", "aac"),
    }[name]()


FORMATS = ("wav", "wav-float", "rf64", "aiff", "flac", "vorbis", "opus", "mp3", "m4a", "webm", "adts")


def loudest_hertz(signal: np.ndarray, rate: int) -> float:
    return float(np.abs(np.fft.rfft(signal)).argmax() * rate / len(signal))


def refusal(source: bytes | Path | str, limits: AudioLimits = DEFAULT_LIMITS) -> AudioError:
    with pytest.raises(AudioError) as caught:
        load_audio(source, RATE, limits)
    return caught.value


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_every_format_gives_the_same_tone_at_the_wanted_rate(name: str, rate: int) -> None:
    signal = load_audio(make(name), rate)
    assert signal.dtype == np.float32
    assert signal.ndim == 1
    assert len(signal) / rate == pytest.approx(SECONDS, abs=0.08)
    assert loudest_hertz(signal, rate) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(signal**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.08)  # MP3 encoders turn down by 5 %


def test_a_file_its_bytes_and_its_uri_decode_alike(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(make("wav"))
    expected = load_audio(make("wav"), RATE)
    for source in (path, str(path), path.as_uri()):
        np.testing.assert_array_equal(load_audio(source, RATE), expected)


def test_channels_are_averaged() -> None:
    stereo = np.stack([tone(), np.zeros(SECONDS * RATE, np.float32)], 1)
    signal = load_audio(by_soundfile("WAV", "FLOAT", stereo), RATE)
    np.testing.assert_allclose(signal, tone() / 2, atol=1e-6)


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "clip.raw"
    path.write_bytes(make("flac"))
    assert len(load_audio(path, RATE)) == SECONDS * RATE


def test_silence_is_a_valid_clip() -> None:
    assert not load_audio(by_soundfile("FLAC", signal=np.zeros(RATE, np.float32)), RATE).any()


@pytest.mark.parametrize("name", ["wav", "wav-float", "rf64", "aiff", "flac", "vorbis", "opus", "mp3", "m4a", "webm"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_is_recognised(name: str, kept: float) -> None:
    whole = make(name)
    assert refusal(whole[: int(len(whole) * kept)]).reason == "truncated"


def test_a_wav_from_a_stream_has_no_size_and_is_read_to_its_end() -> None:
    streamed = bytearray(make("wav"))
    streamed[4:8] = streamed[40:44] = b"\xff" * 4
    assert len(load_audio(bytes(streamed), RATE)) == SECONDS * RATE


def test_a_damaged_flac_is_refused() -> None:
    damaged = bytearray(make("flac"))
    damaged[len(damaged) // 2 : len(damaged) // 2 + 2000] = bytes(2000)
    assert refusal(bytes(damaged)).reason == "truncated"


@pytest.mark.parametrize(
    "content",
    [b"no audio at all, only text\n" * 50, bytes(5000), b"ID3" + bytes(300), b"RIFF", b"\xff\xfb\x90\x00" * 500],
)
def test_what_is_not_audio_is_refused(content: bytes) -> None:
    assert refusal(content).reason == "not_audio"


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    target = tmp_path / "target.mp3"
    target.write_bytes(make("mp3"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{target.as_uri()}\n#EXT-X-ENDLIST\n"
    assert refusal(playlist.encode()).reason == "not_audio"


def test_a_video_without_sound_is_refused() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((24, 16), np.uint8), format="yuv420p")
        container.mux((*stream.encode(frame), *stream.encode(None)))
    error = refusal(buffer.getvalue())
    assert error.reason == "not_audio"
    assert "no audio stream" in str(error)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    missing = refusal(tmp_path / "nothing.wav")
    assert missing.reason == "missing"
    assert "nothing.wav" in str(missing)
    assert refusal(tmp_path).reason == "missing"
    assert "folder" in str(refusal(tmp_path))
    assert refusal("nowhere://bucket/clip.wav").reason == "missing"


def test_empty_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    assert refusal(path).reason == "empty"
    assert refusal(b"").reason == "empty"
    assert refusal(by_soundfile("WAV", "PCM_16", np.zeros(0, np.float32))).reason == "empty"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(value: float) -> None:
    signal = tone()
    signal[777] = value
    assert refusal(by_soundfile("WAV", "FLOAT", signal)).reason == "not_finite"


def test_every_error_is_a_value_error_that_names_its_source(tmp_path: Path) -> None:
    path = tmp_path / "broken.flac"
    path.write_bytes(make("flac")[:3000])
    error = refusal(path)
    assert isinstance(error, ValueError)
    assert "broken.flac" in str(error)


@pytest.mark.parametrize("name", ["wav", "flac", "opus", "mp3", "m4a", "webm", "adts"])
def test_no_clip_is_longer_than_the_limit(name: str) -> None:
    assert refusal(make(name), AudioLimits(max_seconds=2)).reason == "too_long"


@pytest.mark.parametrize("name", ["wav", "flac", "m4a", "webm"])
def test_a_header_that_is_too_long_is_refused_before_decoding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*args: object) -> np.ndarray:
        raise AssertionError("decoding began")

    monkeypatch.setattr("coat_ray.audio.decode.gather", decode)
    assert refusal(make(name), AudioLimits(max_seconds=2)).reason == "too_long"


def test_decoding_stops_at_the_limit_whatever_the_header_says() -> None:
    taken = []

    def endless() -> object:
        while True:
            taken.append(1)
            yield np.zeros(RATE, np.float32)

    with pytest.raises(AudioError, match="longer than the limit of 5 s"):
        gather(endless(), RATE, AudioLimits(max_seconds=5))
    assert len(taken) == 6


def test_channels_bytes_and_rates_have_limits(tmp_path: Path) -> None:
    many = by_soundfile("WAV", "PCM_16", np.zeros((RATE, 3), np.float32))
    assert refusal(many, AudioLimits(max_channels=2)).reason == "too_many_channels"
    assert refusal(make("wav"), AudioLimits(max_bytes=10_000)).reason == "too_large"
    path = tmp_path / "clip.wav"
    path.write_bytes(make("wav"))
    assert refusal(path, AudioLimits(max_bytes=10_000)).reason == "too_large"
    assert refusal(by_soundfile("WAV", "PCM_16", rate=2_000)).reason == "bad_sample_rate"
    assert refusal(by_soundfile("WAV", "PCM_16", rate=768_000)).reason == "bad_sample_rate"


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_a_file_of_more_pieces_than_a_recording_has_is_refused(kind: str) -> None:
    def with_chunks(number: int) -> bytes:
        data, order = by_soundfile(kind), "little" if kind == "WAV" else "big"
        data = data[:12] + (b"junk" + bytes(4)) * number + data[12:]
        return data[:4] + (len(data) - 8).to_bytes(4, order) + data[8:]

    assert len(load_audio(with_chunks(100), RATE)) == len(load_audio(by_soundfile(kind), RATE))
    assert refusal(with_chunks(headers.MOST_PIECES)).reason == "not_audio"


def test_a_fragmented_mp4_has_many_pieces_and_is_heard() -> None:
    data = by_av("mp4", "aac")
    box = (16).to_bytes(4, "big") + b"free" + bytes(8)
    large = (1).to_bytes(4, "big") + b"free" + (24).to_bytes(8, "big") + bytes(8)
    signal = load_audio(data, RATE)
    assert np.array_equal(load_audio(data + (box + large) * 1_000, RATE), signal)
    assert refusal(data + (box + large) * headers.MOST_PIECES).reason == "not_audio"


def test_resampling_keeps_a_tone_and_its_length() -> None:
    signal = resample(tone(rate=44_100), 44_100, RATE)
    assert len(signal) == SECONDS * RATE
    np.testing.assert_allclose(signal[500:-500], tone()[500:-500], atol=1e-3)


def test_a_clip_is_named_by_its_samples() -> None:
    assert clip_id(tone()) == clip_id(tone().astype(np.float64))
    assert clip_id(tone()) != clip_id(tone(hertz=441))
    assert clip_id(np.zeros(RATE, np.float32)) == hashlib.sha256(bytes(4 * RATE)).hexdigest()
