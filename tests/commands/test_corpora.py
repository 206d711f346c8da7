"""`coat corpora`: a folder becomes a corpus of the platform, over HTTP, or is refused in one sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from coat_ray.client import PlatformError
from coat_ray.commands.corpora import app
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import ManifestError
from coat_ray.tenancy.quotas import Quota, set_quota
from coat_ray.tenancy.roles import PLATFORM
from tests.serve.archives import WAVES, corpus, row
from tests.serve.served import Service


def laid(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def coat(act_as: Callable[[str], None]) -> Callable[..., Any]:
    """Run `coat corpora` as somebody; gives what it printed, raises what it raised."""

    def run(who: str, *arguments: object) -> str:
        act_as(who)
        done = CliRunner().invoke(app, [*map(str, arguments)])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.output

    return run


def test_a_folder_is_sent_listed_shown_and_removed(coat: Callable[..., str], service: Service, tmp_path: Path) -> None:
    folder = laid(tmp_path / "bells", corpus())
    said = coat("speech", "upload", "bells", folder)
    assert "corpus bells: 3 rows" in said
    assert "licences: CC-BY-4.0, CC0-1.0" in said
    assert "corpus.name=bells" in said
    assert (
        corpus_folder("bells", service.storage.tenant("speech")).joinpath("clips/0.wav").read_bytes()
        == (WAVES["clips/0.wav"])
    )
    shown = json.loads(coat("speech", "show", "bells"))
    assert json.loads(coat("speech", "upload", "bells", folder, "--json")) == shown
    assert json.loads(coat("speech", "list", "--json")) == [shown]
    assert "CC-BY-4.0, CC0-1.0" in coat("speech", "list")
    assert "no corpora yet" in coat("music", "list")
    with pytest.raises(PlatformError, match="no corpus 'bells'; `coat corpora list` shows what there is"):
        coat("music", "show", "bells")
    assert f"{shown['storage_bytes']:,} bytes are free again" in coat("admin", "remove", "bells")
    assert coat("speech", "list", "--json") == "[]\n"


def test_what_the_platform_would_refuse_is_said_before_anything_is_sent(
    coat: Callable[..., str], tmp_path: Path
) -> None:
    folder = laid(tmp_path, corpus(row("a", "../secret.wav")))
    with pytest.raises(ManifestError, match=r"train\.jsonl, row 'a': audio '\.\./secret\.wav' leads out of the corpus"):
        coat("speech", "upload", "bells", folder)


def test_a_quota_that_is_too_small_reaches_whoever_sends(
    coat: Callable[..., str], service: Service, tmp_path: Path
) -> None:
    with service.database.begin() as session:
        set_quota(session, "music", Quota(storage_bytes=2 * 10**6), actor=PLATFORM)
    folder = laid(tmp_path, {**corpus(), "clips/big.wav": os.urandom(80 * 10**6)})
    with pytest.raises(PlatformError, match=r"may have 2,000,000 bytes of storage; 0 used, 80,0.* more wanted"):
        coat("music", "upload", "big", folder)
