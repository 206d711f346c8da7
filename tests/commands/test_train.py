"""`coat train` on a platform: whose run it becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coat_ray.commands import run_watch
from tests.serve.served import Service

EMBEDDED = Path(__file__).parents[2] / "jobs" / "configs" / "embedded.yaml"


def interrupt(*_: object) -> int:
    """In place of the watching: as after Ctrl-C."""
    return 130


def test_an_owner_trains_for_the_tenant_that_is_named(
    coat: Callable[..., tuple[int, str, str]],
    act_as: Callable[[str], None],
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_watch, "watch", interrupt)
    act_as("owner")
    code, _, err = coat("train", EMBEDDED)
    assert code == 1
    assert "say which one, with --tenant NAME" in err
    assert coat("train", EMBEDDED, "--tenant", "music")[0] == 130
    assert service.states("music") == ["queued"]
    act_as("speech")
    code, _, err = coat("train", EMBEDDED, "--tenant", "music")
    assert code == 1
    assert "act in another tenant" in err
    assert service.states("speech") == []


def test_a_tenant_means_nothing_on_this_machine(coat: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = coat("train", EMBEDDED, "--local", "--tenant", "music")
    assert code == 2
    assert "tenants are on a platform" in err
