"""A served platform for `coat`, and whom it acts as."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coat_ray import client
from tests.serve.served import Printed, Service


@pytest.fixture(scope="module")
def cluster() -> Printed:
    return Printed()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, cluster: Printed) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("platform"), cluster)
    yield service
    service.close()


@pytest.fixture
def act_as(service: Service, coat_home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make `coat` ask the platform with somebody's key."""

    def acting(who: str) -> None:
        monkeypatch.setenv("COAT_PLATFORM", service.url)
        monkeypatch.setenv("COAT_API_KEY", service.keys[who])
        monkeypatch.setattr(client, "ANSWER_S", 300)  # a loaded machine is no failure

    return acting
