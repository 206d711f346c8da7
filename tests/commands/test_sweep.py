"""`coat sweep` on a platform: it sends the run itself, prints what the sweep's job prints, and gets the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coat_ray.commands import run_watch
from coat_ray.tenancy.ledger_tables import RunState
from serve import printed
from tests.serve.conftest import SWEEP
from tests.serve.served import Printed, Service

ROOT = Path(__file__).parents[2]
COMPONENTS = ROOT / "sweeps" / "configs" / "ablation_components.yaml"

Coat = Callable[..., tuple[int, str, str]]


@pytest.fixture
def _quick(act_as: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    act_as("speech")
    monkeypatch.setattr(run_watch, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(printed, "FOLLOW_EVERY_S", (0.02,))


@pytest.mark.usefixtures("_quick")
def test_a_sweep_is_sent_whole(coat: Coat, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_watch, "watch", lambda *_: 130)
    monkeypatch.chdir(ROOT)
    assert coat("sweep", COMPONENTS, "seeds=[0]", "--priority", 3)[0] == 130
    [run] = service.client("speech").get("/runs")["data"]
    assert (run["kind"], run["name"], run["priority"]) == ("sweep", "ablation_components", 3)
    assert (run["config"]["seeds"], run["config"]["run"]["name"]) == ([0], "embedded")
    service.client("speech").post(f"/runs/{run['id']}/stop")


@pytest.mark.usefixtures("_quick")
def test_what_is_wrong_with_a_point_is_said_by_the_platform(
    coat: Coat, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    code, _, err = coat("sweep", COMPONENTS, "set=[corpus.name=other]")
    assert code == 1
    assert "no corpus 'other'" in err
    assert service.client("speech").get("/runs", state="queued")["data"] == []


@pytest.mark.usefixtures("_quick")
def test_a_sweep_is_watched_by_what_it_prints(coat: Coat, service: Service, cluster: Printed, tmp_path: Path) -> None:
    run = service.client("speech").post("/sweeps", {"config": SWEEP})["id"]
    service.ledger.tick()
    lease = service.ledger.lease_of(run)
    assert lease is not None
    service.ledger.started(run, f"{run}-1")
    service.ledger.heartbeat(run, lease.token)
    cluster.logs[f"{run}-1"] = "1/2  a-s0  done\n2/2  b-s0  done\n"
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        if line.startswith("2/2"):
            service.ledger.release(run, lease.token, RunState.DONE, result={"folder": "one"})

    assert run_watch.watch(service.client("speech"), run, hear) == 0
    begun, *rest = said
    assert begun == f"run {run} is running"
    assert rest == [
        "1/2  a-s0  done",
        "2/2  b-s0  done",
        f"run {run} is done",
        f"`coat runs report {run}` gets the report",
    ]
    page = service.storage.tenant("speech").root / "sweeps" / "one" / "report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>it</p>")
    assert coat("runs", "report", run, "-o", tmp_path / "page.html")[1] == f"report: {tmp_path / 'page.html'}\n"
    assert (tmp_path / "page.html").read_text() == "<p>it</p>"
    assert f"coat runs report {run}" in coat("runs", "show", run)[1]


def test_a_tenant_means_nothing_on_this_machine(coat: Coat) -> None:
    code, _, err = coat("sweep", COMPONENTS, "--local", "--tenant", "music")
    assert code == 2
    assert "tenants are on a platform" in err
