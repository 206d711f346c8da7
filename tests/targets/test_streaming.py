"""Experts beside training: the frames of the store, in the order of the steps, without a store."""

from __future__ import annotations

import numpy as np
import pytest

from coat_ray.audio import clip_id, load_audio
from coat_ray.config import ExpertConfig, ResourcesConfig, RunConfig
from coat_ray.corpus.manifest import Manifest, Message, Row
from coat_ray.targets.corpus import clip_refs, streamed_targets
from coat_ray.targets.encode import encode_corpus, open_datasets
from coat_ray.targets.plan import ID_RATE, ClipRef
from coat_ray.targets.pool import REFUSED
from coat_ray.targets.store import TargetNotFound, TargetStore
from coat_ray.targets.streaming import BLOCK_SECONDS, stream_blocks

from .loudness import load

EXPERTS = {
    "block": ExpertConfig(model="loudness16000"),
    "native": ExpertConfig(model="loudness32000", alignment="native"),
    "int8": ExpertConfig(model="loudness8000", dtype="int8"),
}
SHARED = ResourcesConfig(encode_actors=1)
APART = ResourcesConfig(encode_actors=1, encode_shared=False)


def row(name: str, *clips: str) -> Row:
    turns = (Message(role="user", content="<audio>" * len(clips) + "?"), Message(role="assistant", content="!"))
    return Row(id=name, messages=turns, audios=clips, seconds=BLOCK_SECONDS * len(clips))  # a block for each step


def test_blocks_follow_the_steps_and_hold_a_clip_once():
    a, b, c = (ClipRef(name, 1.0) for name in "abc")
    blocks = stream_blocks([[a, a, b], [b, c], [a], [c], []], block_seconds=3.0)
    assert [[clip.uri for clip in block] for block in blocks] == [["a", "b", "c"], ["a", "c"]]


@pytest.mark.parametrize("resources", [SHARED, APART], ids=["shared", "apart"])
@pytest.mark.usefixtures("ray_cluster")
def test_streamed_frames_are_those_of_the_store(tmp_path, make_clip, resources):
    uris = [make_clip(f"{i}.wav", hertz=100 * (i + 1), seconds=0.4 + 0.1 * i) for i in range(6)]
    loud = make_clip("loud.wav", peak=0.95)
    rows = [row(str(i), uri) for i, uri in enumerate(uris)] + [row("pair", uris[5], uris[0]), row("loud", loud)]
    manifest = Manifest(tuple(rows), tmp_path)
    config = RunConfig(name="stream", experts=EXPERTS, resources=resources, stages=[{"name": "s", "steps": 1}])

    stored = TargetStore(tmp_path / "stored")
    report = encode_corpus(list(clip_refs(manifest)), EXPERTS, stored, SHARED, load=load)
    ids = {uri: clip_id(load_audio(uri, ID_RATE)) for uri in [*uris, loud]}
    steps = [["3", "1"], ["0", "pair"], ["loud", "5"], ["3"], ["2", "4"]]

    empty = TargetStore(tmp_path / "empty")
    open_datasets(EXPERTS, empty, load)
    streamed = streamed_targets(config, empty, report.fingerprints, manifest, lambda: steps, load=load)
    by_id = {r.id: r for r in rows}
    for step in steps:
        for uri in (uri for name in step for uri in by_id[name].audios):
            for role, targets in streamed.items():
                if uri == loud:
                    with pytest.raises(TargetNotFound, match=REFUSED):
                        targets.read(ids[uri])
                    continue
                expected = stored.dataset(report.fingerprints[role]).read(ids[uri])
                np.testing.assert_array_equal(targets.read(ids[uri]), expected)
    assert not list((tmp_path / "empty").glob("*/part-*.parquet"))
    with pytest.raises(TargetNotFound, match="not in the stream"):
        streamed["block"].read("0" * 64)
