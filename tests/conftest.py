"""Fixtures of the whole suite. This is the only place that starts Ray."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coat_ray import cli
from coat_ray.cluster import LIGHT

from .objects import ObjectStore, serve_objects

RAY_SETTINGS = {**LIGHT, "RAY_AUTH_MODE": "disabled", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}


CLUSTERS = ("browser", "integration", "local", "vllm")
"""Folders whose tests start clusters of their own."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In several processes (pytest-xdist) each file goes to one, and all that needs a cluster to the same one.

    So there is one cluster at a time, beside which the other process tests what needs none.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        place = item.path.relative_to(Path(__file__).parent)
        clustered = place.parts[0] in CLUSTERS or "ray_cluster" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("clusters" if clustered else str(place)))


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and no process of one, knows the platform, database, key or state folder of the shell."""
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("COAT_")]:
            environment.delenv(name)
        environment.setenv("COAT_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def coat_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private, empty ``$COAT_HOME``, and no platform."""
    folder = tmp_path / "coat"
    monkeypatch.delenv("COAT_PLATFORM", raising=False)
    monkeypatch.delenv("COAT_API_KEY", raising=False)
    monkeypatch.setenv("COAT_HOME", str(folder))
    return folder


@pytest.fixture
def coat(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, coat_home: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run `coat` in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["coat", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def s3() -> Iterator[ObjectStore]:
    """A local S3 server with an empty bucket ``clips``."""
    with serve_objects() as store:
        yield store


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A small Ray for the session; gives its address, for processes that a test starts.

    HOME is private, because Ray reads and writes a token there.
    """
    import ray

    before = dict(os.environ)
    os.environ.update(RAY_SETTINGS, HOME=str(tmp_path_factory.mktemp("home")), OMP_NUM_THREADS="1")
    os.environ.pop("RAY_ADDRESS", None)
    context = ray.init(
        address="local",
        num_cpus=6,
        object_store_memory=200_000_000,
        include_dashboard=False,
        logging_level="WARNING",
        log_to_driver=False,
    )
    try:
        yield context.address_info["gcs_address"]
    finally:
        ray.shutdown()
        os.environ.clear()
        os.environ.update(before)
