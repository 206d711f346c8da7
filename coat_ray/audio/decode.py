"""The only decoder of the platform: an audio file or its bytes become mono float32 at a rate, within limits.

libsndfile (soundfile) reads what it can; FFmpeg (PyAV) reads MP3, M4A, WebM and the rest; soxr resamples. Limits are
checked on the header, and again while decoding in chunks, so that no file takes more memory than the limits allow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile
import soxr

from coat_ray.audio import headers
from coat_ray.audio.errors import (
    AudioError,
    BadSampleRateError,
    EmptyAudioError,
    NotAudioError,
    NotFiniteError,
    TooLongError,
    TooManyChannelsError,
    TruncatedAudioError,
)
from coat_ray.audio.sources import opened

_CHUNK_FRAMES = 65_536
_DEMUXERS = "mp3,mov,matroska,webm,aac,ogg,flac,wav,asf,aiff,caf,amr,au,w64,ac3,eac3"  # none opens a second file
_MISSING_SECONDS = 0.1
"""A file may end this much before its header's duration: containers round, codecs pad."""


@dataclass(frozen=True)
class AudioLimits:
    """What a clip may cost. *max_bytes* bounds the encoded file, *max_seconds* the decoded signal."""

    max_seconds: float = 600.0
    max_channels: int = 8
    max_bytes: int = 512 * 2**20
    min_sample_rate: int = 4_000
    max_sample_rate: int = 192_000


DEFAULT_LIMITS = AudioLimits()


def load_audio(source: str | Path | bytes, sample_rate: int, limits: AudioLimits = DEFAULT_LIMITS) -> np.ndarray:
    """Decode a file or the bytes of one; all channels are averaged.

    Args:
        source: a path, a URI that pyarrow can open (``s3://``, ``gs://``, ``file://``), a cell of a Parquet file
            (``clips.parquet#audio=12``), or the encoded bytes.
        sample_rate: rate of the result in Hz.
        limits: what the clip may cost.

    Returns:
        float32 (n,) at *sample_rate*; silence is a valid clip.

    Raises:
        AudioError: one of its subclasses; the message names the source and what is wrong.
    """
    signal, rate = decode_audio(source, limits)
    return resample(signal, rate, sample_rate)


def decode_audio(source: str | Path | bytes, limits: AudioLimits = DEFAULT_LIMITS) -> tuple[np.ndarray, int]:
    """Like :func:`load_audio`, at the file's own rate: float32 (n,) and that rate in Hz.

    For whoever needs several rates: ``resample`` from here equals ``load_audio`` at each of them.
    """
    with opened(source, limits.max_bytes) as (file, size):
        name = "the given bytes" if isinstance(source, bytes) else str(source)
        try:
            signal, rate = _decode(file, size, limits)
            if not len(signal):
                raise EmptyAudioError("it holds no samples")
            if not np.isfinite(signal).all():
                raise NotFiniteError("it holds NaN or infinite samples")
        except AudioError as error:
            raise type(error)(f"cannot use {name}: {error}") from error.__cause__
    return signal, rate


def resample(signal: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample a mono signal (n,) to float32 (round(n * to_rate / from_rate),); equal rates change nothing."""
    if from_rate == to_rate:
        return np.ascontiguousarray(signal, dtype=np.float32)
    return np.asarray(soxr.resample(signal, from_rate, to_rate), dtype=np.float32)


def clip_id(signal_16k: np.ndarray) -> str:
    """Name of a clip: sha256 of the little-endian float32 samples of its 16 kHz mono signal, in hex."""
    return hashlib.sha256(np.ascontiguousarray(signal_16k, dtype="<f4").tobytes()).hexdigest()


def _check_header(rate: int, channels: int, seconds: float | None, limits: AudioLimits) -> None:
    if not limits.min_sample_rate <= rate <= limits.max_sample_rate:
        allowed = f"{limits.min_sample_rate:,} to {limits.max_sample_rate:,} Hz"
        raise BadSampleRateError(f"its sample rate of {rate:,} Hz is outside {allowed}")
    if channels > limits.max_channels:
        raise TooManyChannelsError(f"its {channels} channels are more than the limit of {limits.max_channels}")
    if seconds is not None and seconds > limits.max_seconds:
        raise TooLongError(f"its {seconds:.1f} s are more than the limit of {limits.max_seconds:g} s")


def _decode(file: BinaryIO, size: int, limits: AudioLimits) -> tuple[np.ndarray, int]:
    headers.check_complete(file, size)
    if not headers.is_mpeg(file):
        try:
            sound = soundfile.SoundFile(file)
        except (soundfile.LibsndfileError, TypeError):
            file.seek(0)  # not a format of libsndfile: FFmpeg decides
        else:
            with sound:
                return _read_soundfile(sound, limits)
    return _read_av(file, limits)


def _read_soundfile(sound: soundfile.SoundFile, limits: AudioLimits) -> tuple[np.ndarray, int]:
    rate, declared = sound.samplerate, sound.frames
    seconds = declared / rate if 0 < declared < 2**62 else None  # 2**63 - 1 stands for unknown
    _check_header(rate, sound.channels, seconds, limits)

    def blocks() -> Iterator[np.ndarray]:
        while len(block := sound.read(_CHUNK_FRAMES, dtype="float32", always_2d=True)):
            yield block.mean(1)

    try:
        signal = gather(blocks(), rate, limits)
    except soundfile.LibsndfileError as error:
        raise TruncatedAudioError(f"it is damaged or ends early ({error})") from error
    if seconds is not None and len(signal) < declared:
        raise TruncatedAudioError(f"its header promises {declared:,} samples, it holds {len(signal):,}")
    return signal, rate


def _read_av(file: BinaryIO, limits: AudioLimits) -> tuple[np.ndarray, int]:
    try:
        container = av.open(file, mode="r", options={"format_whitelist": _DEMUXERS, "protocol_whitelist": ""})
    except (av.FFmpegError, ValueError) as error:
        if headers.is_mp4(file):
            raise TruncatedAudioError("it is an MP4 file without its index, so it ends early or is damaged") from error
        raise NotAudioError("it is in no audio format that can be read here") from error
    with container:
        stream = next((s for s in container.streams.audio if s.codec_context is not None), None)
        if stream is None:
            raise NotAudioError("it holds no audio stream that can be decoded")
        rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
        declared = _declared_seconds(container, stream, file)
        _check_header(rate, channels, declared, limits)
        converter = av.AudioResampler(format="fltp", rate=rate)

        def blocks() -> Iterator[np.ndarray]:
            for frame in container.decode(stream):
                yield from (part.to_ndarray().mean(0) for part in converter.resample(frame))
            yield from (part.to_ndarray().mean(0) for part in converter.resample(None))

        try:
            signal = gather(blocks(), rate, limits)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, AudioError):
                raise
            raise TruncatedAudioError(f"it is damaged or ends early ({error})") from error
    if declared is not None and len(signal) / rate < declared - _MISSING_SECONDS:
        raise TruncatedAudioError(f"its header promises {declared:.2f} s, it holds {len(signal) / rate:.2f} s")
    return signal, rate


def _declared_seconds(container: av.container.InputContainer, stream: av.AudioStream, file: BinaryIO) -> float | None:
    """Duration from the header; None where FFmpeg only guesses it from the bit rate."""
    written = {"mov", "matroska", "asf", "flac", "caf"} & set(container.format.name.split(","))
    if not written and not (container.format.name == "mp3" and headers.has_mp3_length(file)):
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def gather(blocks: Iterator[np.ndarray], rate: int, limits: AudioLimits) -> np.ndarray:
    """Join mono blocks (n_i,) at *rate* Hz into one signal (n,); takes no more of them than the limit allows.

    Raises:
        TooLongError: more than ``limits.max_seconds``, whatever the header said.
    """
    kept: list[np.ndarray] = []
    total, most = 0, int(limits.max_seconds * rate)
    for block in blocks:
        total += len(block)
        if total > most:
            raise TooLongError(f"it is longer than the limit of {limits.max_seconds:g} s")
        kept.append(block)
    return np.concatenate(kept) if kept else np.zeros(0, np.float32)
