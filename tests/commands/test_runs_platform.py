"""`coat runs` on a platform: listed, shown, followed until they end, stopped. The cluster here starts nothing."""

import itertools
import json
import threading

import pytest

from coat_ray.client import PlatformError
from coat_ray.commands import run_watch
from coat_ray.commands.run_watch import watch
from coat_ray.commands.runs import submit_and_watch
from coat_ray.registry.metrics import append_metrics
from coat_ray.registry.runs import RunRegistry
from coat_ray.tenancy.ledger_tables import RunState
from serve import printed, streams
from tests.serve.served import CONFIG, wait_until

ROW = {"step": 1, "steps": 1, "loss": 2.0, "ce": 1.5, "recon/mse": 0.25, "recon/grad": 9.0}


@pytest.fixture(autouse=True)
def _quick(act_as, monkeypatch):
    act_as("speech")
    monkeypatch.setattr(run_watch, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(printed, "FOLLOW_EVERY_S", (0.02,))


NUMBERS = itertools.count()


def experiment():
    """A configuration of its own, so that no run continues the records of another."""
    return CONFIG.model_copy(update={"name": f"trial{next(NUMBERS)}", "arms": ("coat", "sft")})


class Job:
    """What the job of a run does, step by step."""

    def __init__(self, service, config, run_id=None):
        self.service, self.config = service, config
        self.run_id = run_id or service.submit(config=config)
        self.registry = RunRegistry(service.storage.tenant("speech"))

    def start(self):
        self.service.ledger.tick()
        lease = self.service.ledger.lease_of(self.run_id)
        assert lease is not None
        self.service.ledger.started(self.run_id, f"{self.run_id}-{lease.run.attempts}")
        self.service.ledger.heartbeat(self.run_id, lease.token)
        return self

    def log(self, arm="coat", **row):
        record = self.registry.create(self.config, arm)
        append_metrics(self.registry.metrics(record.id), {**ROW, **row})

    def end(self, outcome=RunState.DONE, reason="", **result):
        token = self.service.ledger.lease_of(self.run_id).token
        self.service.ledger.release(self.run_id, token, outcome, reason=reason, result=result)


@pytest.fixture
def started(service):
    """Starts jobs that have ended when the test has, so that there is room for the next."""
    jobs = []

    def start(run_id=None):
        jobs.append(Job(service, experiment(), run_id).start())
        return jobs[-1]

    yield start
    for job in jobs:
        if service.ledger.lease_of(job.run_id):
            job.end()


class Telling:
    """Takes lines, and does the next thing each time."""

    def __init__(self, *steps):
        self.lines, self.steps = [], list(steps)

    def __call__(self, line):
        self.lines.append(line)
        if self.steps:
            self.steps.pop(0)()


def test_runs_are_listed_by_state_and_stopped(coat, service):
    run = service.submit()
    assert run in coat("runs", "list")[1]
    listed = json.loads(coat("runs", "list", "--state", "queued", "--json")[1])
    assert [row["id"] for row in listed] == [run]
    assert coat("runs", "stop", run) == (0, f"run {run} is stopped: stopped before it began\n", "")
    assert run not in coat("runs", "list", "--state", "queued")[1]
    assert coat("runs", "watch", run)[0] == 1


def test_older_runs_are_on_the_next_page_which_is_named(coat, service):
    made = [service.submit() for _ in range(3)]
    newest = coat("runs", "list", "--limit", 2)[1]
    assert made[0] not in newest
    named = newest.rpartition("older ones: --before ")[2].strip()
    assert named == made[1]
    rest = json.loads(coat("runs", "list", "--before", named, "--limit", 1, "--json")[1])
    assert [row["id"] for row in rest] == made[:1]
    for run in made:
        service.client("speech").post(f"/runs/{run}/stop")
    assert "older ones" not in coat("runs", "list", "--state", "queued")[1]


def test_local_records_are_read_when_they_are_asked_for(coat, coat_home):
    assert "nothing has been trained here" in coat("runs", "list", "--local")[1]
    code, _, err = coat("runs", "show", "trial", "--local")
    assert code == 1
    assert "no run 'trial'" in err


def test_without_a_platform_what_needs_one_says_so(coat, monkeypatch):
    monkeypatch.delenv("COAT_PLATFORM")
    for verb in (["watch", "x"], ["logs", "x"], ["stop", "x"]):
        code, _, err = coat("runs", *verb)
        assert code == 1
        assert "no platform is configured" in err


def test_runs_of_another_team_do_not_exist(coat, service):
    run = service.submit("music")
    for verb in (["show", run], ["watch", run], ["logs", run], ["logs", run, "--follow"], ["stop", run]):
        code, out, err = coat("runs", *verb)
        assert (code, out) == (1, "")
        assert f"no run '{run}'" in err
    assert run not in coat("runs", "list")[1]
    service.client("music").post(f"/runs/{run}/stop")


def test_a_run_is_shown_while_it_trains(coat, started, tmp_path):
    job = started()
    assert "nothing has been logged yet" in coat("runs", "show", job.run_id)[1]
    job.log()
    job.log("sft", step=2, ce=1.25)
    out = coat("runs", "show", job.run_id, "--png", tmp_path / "curves.png")[1]
    assert f"{job.run_id} coat" in out
    assert "1 of 2" in out
    assert "2 of 2" in out
    assert "running" in out
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    shown = json.loads(coat("runs", "show", job.run_id, "--metrics")[1])
    assert (shown["state"], shown["last"]["sft"]["ce"], len(shown["metrics"]["coat"])) == ("running", 1.25, 1)
    assert "recon/mse 0.25" in out


def test_watching_says_why_a_run_waits_then_its_progress_then_its_end(service, started):
    first, job = started(), Job(service, experiment())
    run = job.run_id
    service.ledger.tick()

    def finish():
        job.log("sft", step=2)
        job.end(models=["trial-coat@1"])

    def train():
        job.log(step=1)
        job.log(step=2)

    told = Telling(lambda: (first.end(), job.start()), train, finish)
    assert watch(service.client("speech"), run, told) == 0
    assert "is queued: waits for 3 CPUs" in told.lines[0]
    assert told.lines[1:] == [
        f"run {run} is running",
        "coat  step 2/2  loss 2.000  ce 1.500  recon/mse 0.250",
        "sft  step 2/2  loss 2.000  ce 1.500  recon/mse 0.250",
        f"run {run} is done",
        "model trial-coat@1: `coat models show trial-coat@1` has its record",
    ]


def test_a_failed_run_says_why_and_is_exit_code_one(coat, started):
    job = started()
    job.end(RunState.FAILED, "the disk is full")
    assert coat("runs", "watch", job.run_id) == (1, f"run {job.run_id} is failed: the disk is full\n", "")


def test_an_interrupt_leaves_the_run_alone(service, started):
    job, told = started(), Telling()

    def interrupt():
        raise KeyboardInterrupt

    told.steps = [interrupt]
    assert watch(service.client("speech"), job.run_id, told) == 130
    assert told.lines[-1] == (
        f"run {job.run_id} goes on; `coat runs watch {job.run_id}` watches it again, "
        f"`coat runs stop {job.run_id}` ends it"
    )
    assert "running" in service.states()


def test_a_platform_that_is_away_for_a_while_is_waited_for(service, started, monkeypatch):
    job, client = started(), service.client("speech")
    get, away = type(client).get, [PlatformError("no answer from the platform"), PlatformError("starting", 503)]

    def asked(self, path, **params):
        if away:
            raise away.pop()
        return get(self, path, **params)

    monkeypatch.setattr(type(client), "get", asked)
    told = Telling(lambda: None, lambda: None, job.end)
    assert watch(client, job.run_id, told) == 0
    assert told.lines[:2] == [f"{text}; the run is not touched by this, asking again" for text in
                              ("starting", "no answer from the platform")]  # fmt: skip
    monkeypatch.setattr(run_watch, "SILENT_S", -1.0)
    away.append(PlatformError("no answer from the platform"))
    with pytest.raises(PlatformError, match="no answer"):
        watch(client, job.run_id, told)


def test_a_call_that_is_sent_again_makes_one_run(service, started):
    told, client = Telling(), service.client("speech")
    body = {"config": CONFIG.model_dump(mode="json"), "priority": 7}
    known = client.post("/runs", body, idempotency_key="the same")["id"]
    job = started(known)
    told.steps = [job.end]
    assert submit_and_watch(client, CONFIG, 7, "the same", told) == 0
    assert told.lines[-1] == f"run {known} is done"
    assert client.get(f"/runs/{known}")["priority"] == 7
    for_another = Telling(lambda: service.client("owner").post(f"/runs/{for_another.lines[0].split()[1]}/stop"))
    assert submit_and_watch(service.client("owner"), CONFIG, 0, "other", for_another, tenant="music") == 1
    assert service.client("music").get("/runs", limit=1)["data"][0]["state"] == "stopped"


def test_logs_are_printed_and_followed_over_attempts_until_the_run_ends(coat, service, cluster, started):
    job = started()
    assert coat("runs", "logs", job.run_id)[2].strip().endswith(f"no longer has the log of run {job.run_id}")
    cluster.logs[f"{job.run_id}-1"] = "one\ntwo\nthr"
    assert coat("runs", "logs", job.run_id)[1] == "one\ntwo\nthr\n"
    assert coat("runs", "logs", job.run_id, "--tail", 1)[1] == "thr\n"
    lines, seen = service.client("speech").stream(f"/runs/{job.run_id}/logs", follow="true", tail=2), []

    def read():
        seen.extend(lines)

    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: seen == ["two"])
    cluster.logs[f"{job.run_id}-1"] += "ee\n"
    wait_until(lambda: seen == ["two", "three"])
    job.end(RunState.QUEUED)
    job.start()
    cluster.logs[f"{job.run_id}-2"] = "four\n"
    wait_until(lambda: seen[-1] == "four")
    cluster.logs[f"{job.run_id}-2"] += "last words"
    job.end()
    reader.join()
    assert seen == ["two", "three", "four", "last words"]
    assert coat("runs", "logs", job.run_id, "--follow", "--tail", 1)[1] == "last words\n"


def test_more_who_follow_than_there_are_threads_keep_nobody_out(service, cluster, started, monkeypatch):
    monkeypatch.setattr(printed, "FOLLOW_EVERY_S", (1.0,))
    monkeypatch.setattr(streams, "MAX_STREAMS", 45)
    job = started()
    cluster.logs[f"{job.run_id}-1"] = "one\n"
    following = [service.client("speech").stream(f"/runs/{job.run_id}/logs", follow="true") for _ in range(45)]
    assert [next(stream) for stream in following] == ["one"] * 45
    assert service.client("speech").get(f"/runs/{job.run_id}")["state"] == "running"
    for stream in following:
        stream.close()


def test_metrics_come_after_a_step_of_each_arm(service, started):
    job, client = started(), service.client("speech")
    for step in (1, 2):
        job.log(step=step)
        job.log("sft", step=step)
    place = f"/runs/{job.run_id}/metrics"

    def steps(**after):
        return {arm: [row["step"] for row in rows] for arm, rows in client.get(place, **after)["data"].items()}

    assert steps() == {"coat": [1, 2], "sft": [1, 2]}
    assert steps(after=1) == {"coat": [2], "sft": [2]}
    assert steps(after=["coat:2", "sft:0"]) == {"coat": [], "sft": [1, 2]}
    with pytest.raises(PlatformError, match="pattern"):
        steps(after="soon")
