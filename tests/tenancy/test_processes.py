"""Many processes write at once: nothing is lost, nothing is doubled, nobody waits for the dead."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from coat_ray.tenancy.audit import query
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import authenticate, list_keys
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.tenants import create_tenant, list_tenants
from coat_ray.tenancy.usage_report import usage_totals

from .writers import ALLOWED, ROUNDS

ROOT = Path(__file__).parents[2]
WRITERS = 8


@pytest.fixture
def start():
    """Start writers; they wait for a line on their standard input."""
    with ExitStack() as stack:

        def spawn(what, url, number):
            command = [sys.executable, "-m", "tests.tenancy.writers", what, url, str(number)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
            writer = stack.enter_context(subprocess.Popen(command, **pipes))
            stack.callback(writer.kill)
            return writer

        yield spawn


@pytest.mark.slow
def test_eight_processes_on_a_fresh_database_lose_nothing_and_double_nothing(start, empty_url):
    writers = [start("crowd", empty_url, number) for number in range(WRITERS)]
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * WRITERS
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    seen = [json.loads(writer.stdout.readline()) for writer in writers]

    database = Database.open(empty_url)
    teams = [f"team-{number}" for number in range(WRITERS)]
    keys = [key for one in seen for key in one["keys"]]
    assert sorted(authenticate(database, key).tenant for key in keys) == sorted(teams * ROUNDS)
    assert sum(one["taken"] for one in seen) == ALLOWED
    with database.read() as session:
        assert [tenant.name for tenant in list_tenants(session)] == ["common", *teams]
        assert len(list_keys(session)) == WRITERS * ROUNDS
        used = {total.tenant: total for total in usage_totals(session, by=["tenant"])}
        changes = query(session, limit=1000).records
    assert {total.accelerator_seconds for total in used.values()} == {10 * ROUNDS}
    assert {total.requests for total in used.values()} == {ROUNDS}
    assert set(used) == {"common", *teams}
    assert sorted(line.action for line in changes) == ["key.create"] * len(keys) + ["tenant.create"] * (WRITERS + 1)
    database.close()


def test_a_writer_that_is_killed_leaves_no_change_and_keeps_nobody_waiting(start, database, database_url):
    writer = start("stall", database_url, 1)
    writer.stdin.write("go\n")
    writer.stdin.flush()
    assert [writer.stdout.readline() for _ in range(2)] == ["ready\n", "writing\n"]
    with database.read() as session:
        assert "team-1" not in {tenant.name for tenant in list_tenants(session)}
    writer.kill()
    with database.begin() as session:
        create_tenant(session, "video", actor=PLATFORM)
    with database.read() as session:
        assert [tenant.name for tenant in list_tenants(session)] == ["music", "speech", "video"]
