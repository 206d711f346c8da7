"""Adapters that stay in memory follow their aliases."""

from __future__ import annotations

from pathlib import Path

import pytest

from coat_ray.inference.errors import AdapterTooLarge
from coat_ray.inference.requests import AdapterSource
from coat_ray.registry.models import ModelNotFound
from serve.hosting.pins import Pins


class Held:
    """What an engine would hold, in the order of what happened."""

    def __init__(self) -> None:
        self.happened: list[tuple[str, str]] = []
        self.full = False

    def pin(self, source: AdapterSource) -> None:
        if self.full:
            raise AdapterTooLarge("no room")
        self.happened.append(("pin", source.key))

    def unpin(self, key: str) -> None:
        self.happened.append(("unpin", key))


@pytest.fixture
def meaning() -> dict[str, str]:
    return {"speech/best": "notes@1"}


@pytest.fixture
def engine() -> Held:
    return Held()


@pytest.fixture
def pins(engine: Held, meaning: dict[str, str]) -> Pins:
    def find(name: str) -> AdapterSource:
        if name not in meaning:
            raise ModelNotFound(name)
        return AdapterSource(meaning[name], Path())

    return Pins(engine, ["speech/best"], find)


def test_the_new_version_comes_before_the_old_one_may_go(pins: Pins, engine: Held, meaning: dict[str, str]) -> None:
    pins.look()
    pins.look()
    meaning["speech/best"] = "notes@2"
    pins.look()
    assert engine.happened == [("pin", "notes@1"), ("pin", "notes@2"), ("unpin", "notes@1")]


def test_what_cannot_be_loaded_leaves_what_was_there(pins: Pins, engine: Held, meaning: dict[str, str]) -> None:
    pins.look()
    engine.full, meaning["speech/best"] = True, "notes@2"
    pins.look()
    meaning.clear()
    pins.look()
    assert engine.happened == [("pin", "notes@1")]
    engine.full, meaning["speech/best"] = False, "notes@2"
    pins.look()
    assert engine.happened[1:] == [("pin", "notes@2"), ("unpin", "notes@1")]
