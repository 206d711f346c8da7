"""A corpus becomes clips to encode, and rows whose clip nobody can hear are told to training."""

from pathlib import Path

import pytest

from coat_ray.config import ExpertConfig, RunConfig, StageConfig
from coat_ray.corpus.manifest import Manifest, Message, Row, write_manifest
from coat_ray.targets.corpus import clip_refs, encode_run, rows_to_skip
from coat_ray.targets.plan import ClipRef
from coat_ray.targets.quarantine import QuarantineRow
from coat_ray.targets.report import EncodeReport
from coat_ray.targets.store import TargetStore

from .loudness import load


def row(name: str, *audios: str, seconds: float | None = None) -> Row:
    asked = Message(role="user", content="<audio>" * len(audios) + "what is this?")
    return Row(id=name, messages=(asked, Message(role="assistant", content="a tone")), audios=audios, seconds=seconds)


def test_clips_are_paths_from_the_manifest_and_share_the_rows_length():
    manifest = Manifest((row("two", "a.wav", "/b.wav", seconds=6.0), row("text"), row("far", "s3://c.wav")), Path("/m"))
    assert list(clip_refs(manifest)) == [ClipRef("/m/a.wav", 3.0), ClipRef("/b.wav", 3.0), ClipRef("s3://c.wav", None)]


def test_only_rows_with_a_clip_that_cannot_be_decoded_are_skipped():
    manifest = Manifest((row("good", "a.wav"), row("bad", "a.wav", "b.wav"), row("refused", "c.wav")), Path("/m"))
    quarantine = [QuarantineRow(None, "/m/b.wav", "truncated", ""), QuarantineRow("C", "/m/c.wav", "too_short", "")]
    report = EncodeReport(3, 1, 2, 3, 1.0, {}, quarantine)
    assert rows_to_skip(manifest, report) == ["bad"]


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_encodes_what_it_learns_from_and_measures_within_its_limit(tmp_path, make_clip):
    for split, seconds in (("train", 0.5), ("validation", 3.0), ("test", 0.6)):
        write_manifest([row(split, make_clip(f"{split}.wav", seconds=seconds))], tmp_path / f"{split}.jsonl")
    config = RunConfig.model_validate(
        {
            "name": "toy",
            "corpus": {"max_seconds": 2},
            "experts": {"low": ExpertConfig(model="loudness16000")},
            "stages": (StageConfig(name="all", steps=1),),
        }
    )
    report = encode_run(config, tmp_path, TargetStore(tmp_path / "targets"), load=load)
    assert (report.files, report.experts["low"].present) == (2, 1)
    assert [(row.uri, row.reason) for row in report.quarantine] == [
        (str(tmp_path / "clips/validation.wav"), "too_long")
    ]
