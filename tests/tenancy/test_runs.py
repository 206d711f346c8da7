"""A listing of runs goes page by page, each run once, whatever was submitted at the same instant."""

from __future__ import annotations

import pytest

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.runs import RunNotFound, list_runs
from tests.tenancy.test_ledger import World


def test_pages_hold_every_run_once_and_in_order(database: Database) -> None:
    world = World(database)
    for _ in range(2):
        for _ in range(3):
            world.submit()
        world.later(seconds=1)
    speech = world.members["speech"]
    seen: list[str] = []
    before: str | None = None
    with database.read() as session:
        while page := [run.id for run in list_runs(session, actor=speech, limit=2, before=before)]:
            seen, before = [*seen, *page], page[-1]
        assert seen == [run.id for run in list_runs(session, actor=speech)]
    assert len(set(seen)) == 6


def test_no_page_begins_at_a_run_that_is_not_there_to_see(database: Database) -> None:
    world = World(database)
    run = world.submit("music")
    for before in (run.id, "no-such-run"):
        with pytest.raises(RunNotFound), database.read() as session:
            list_runs(session, actor=world.members["speech"], before=before)
