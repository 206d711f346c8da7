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
from coat_ray.tenancy.ledger_tables import ShareKind
from coat_ray.tenancy.quotas import Quota, set_quota
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.sharing import grant, revoke
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
    assert json.loads(coat("speech", "list", "--json")) == [{**shown, "shared": False}]
    assert "CC-BY-4.0, CC0-1.0" in coat("speech", "list")
    assert "no corpora yet" in coat("music", "list")
    with pytest.raises(PlatformError, match="no corpus 'bells'; `coat corpora list` shows what there is"):
        coat("music", "show", "bells")
    assert f"{shown['storage_bytes']:,} bytes are free again" in coat("admin", "remove", "bells")
    assert coat("speech", "list", "--json") == "[]\n"


def test_an_owner_names_the_tenant_and_nobody_else_may(
    coat: Callable[..., str], service: Service, tmp_path: Path
) -> None:
    folder = laid(tmp_path / "drums", corpus())
    with pytest.raises(PlatformError, match="belongs to no tenant: say which one, with --tenant NAME"):
        coat("owner", "upload", "drums", folder)
    with pytest.raises(PlatformError, match="act in another tenant"):
        coat("speech", "upload", "drums", folder, "--tenant", "music")
    coat("owner", "upload", "drums", folder, "--tenant", "music")
    assert json.loads(coat("owner", "show", "drums", "--tenant", "music"))["tenant"] == "music"
    assert [row["name"] for row in json.loads(coat("owner", "list", "--tenant", "music", "--json"))] == ["drums"]
    coat("owner", "remove", "drums", "--tenant", "music")
    assert coat("music", "list", "--json") == "[]\n"


def test_a_corpus_that_is_shared_is_listed_under_the_name_that_runs_give_it(
    coat: Callable[..., str], service: Service, tmp_path: Path
) -> None:
    coat("speech", "upload", "horns", laid(tmp_path / "horns", corpus()))
    with service.database.begin() as session:
        share = grant(session, "speech", ShareKind.CORPUS, "horns", "music", actor=PLATFORM)
    assert json.loads(coat("music", "list", "--json")) == [{"name": "speech/horns", "tenant": "speech", "shared": True}]
    assert "speech/horns" in coat("music", "list")
    assert "speech/horns" not in coat("speech", "list")
    assert [row["name"] for row in json.loads(coat("owner", "list", "--json"))] == ["horns"]
    with service.database.begin() as session:
        revoke(session, share.id, actor=PLATFORM)
    assert coat("music", "list", "--json") == "[]\n"
    coat("admin", "remove", "horns")


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
