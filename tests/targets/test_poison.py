"""One clip in a hundred is poison: the job ends, exactly those are refused with a reason, all others are stored."""

import io
import struct

import numpy as np
import pytest
import soundfile
from rich.console import Console

from coat_ray.config import ExpertConfig, ResourcesConfig
from coat_ray.targets.encode import encode_corpus
from coat_ray.targets.plan import ClipRef
from coat_ray.targets.store import TargetStore

from .loudness import load

RATE = 16_000
STRANGE_NAME = "a \"name\"\nwith 'quotes'.wav"


def tone(hertz: float, seconds: float = 0.1) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)


def three_hours() -> bytes:
    """The header of a WAV file of three hours; the rest is a hole in the file."""
    size = 3 * 3600 * 2 * RATE
    head = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt "
    return head + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16) + b"data" + struct.pack("<I", size)


@pytest.fixture
def poison(tmp_path):
    """Bad clips with their reasons, and clips that only look bad."""
    folder = tmp_path / "poison"
    folder.mkdir()

    def write(name: str, signal: np.ndarray, kind: str = "WAV", subtype: str | None = None) -> str:
        soundfile.write(folder / name, signal, RATE, format=kind, subtype=subtype)
        return str(folder / name)

    def put(name: str, data: bytes) -> str:
        (folder / name).write_bytes(data)
        return str(folder / name)

    whole = io.BytesIO()
    soundfile.write(whole, tone(123, 1.0), RATE, format="FLAC")
    (folder / "folder.wav").mkdir()
    long = put("three_hours.wav", three_hours())
    with open(long, "r+b") as file:  # noqa: PTH123
        file.truncate(44 + 3 * 3600 * 2 * RATE)
    nan = tone(124)
    nan[7] = np.nan
    bad = {
        write("nan.wav", nan, subtype="FLOAT"): "not_finite",
        put("empty.wav", b""): "empty",
        put(f"empty {STRANGE_NAME}", b""): "empty",
        put("truncated.flac", whole.getvalue()[:3000]): "truncated",
        write("one_sample.wav", tone(125)[5:6]): "too_short",
        put("text.wav", b"this is no sound at all\n" * 99): "not_audio",
        str(folder / "folder.wav"): "missing",
        long: "too_long",
    }
    good = [
        write("eight_channels.wav", np.stack([tone(127)] * 8, 1)),
        write("flac_named.mp3", tone(128), kind="FLAC"),
        write(STRANGE_NAME, tone(129)),
    ]
    return bad, good


@pytest.mark.usefixtures("ray_cluster")
def test_poison_costs_only_itself(tmp_path, poison):
    bad, good = poison
    (tmp_path / "clips").mkdir()
    for i in range(100 * len(bad) - len(bad) - len(good)):
        path = tmp_path / "clips" / f"{i}.wav"
        soundfile.write(path, tone(200 + i), RATE)
        good.append(str(path))
    experts = {"low": ExpertConfig(model="loudness16000"), "high": ExpertConfig(model="loudness32000")}
    refs = [ClipRef(uri) for uri in (*good, *bad)]
    report = encode_corpus(
        refs,
        experts,
        TargetStore(tmp_path / "targets"),
        ResourcesConfig(encode_actors=2, encode_cpus=0.5),
        load=load,
    )
    assert {row.uri: row.reason for row in report.quarantine} == bad
    assert {role: expert.present for role, expert in report.experts.items()} == dict.fromkeys(experts, len(good))
    console = Console(file=io.StringIO(), width=200)
    report.print(console)
    summary = console.file.getvalue()
    assert "2 empty" in summary
    for reason in set(bad.values()) - {"empty"}:
        assert f"1 {reason}" in summary
    assert not any(line.startswith("with 'quotes'") for line in summary.splitlines())
