"""`coat usage`: sums by tenant, run and month, as a table, CSV and JSON."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest

from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.usage import record_event

OCTOBER, NOVEMBER = datetime(2026, 10, 5, tzinfo=UTC), datetime(2026, 11, 5, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def used(service):
    with service.database.begin() as session:
        for tenant, amount, at in (("speech", 60, OCTOBER), ("speech", 30, NOVEMBER), ("music", 5, NOVEMBER)):
            key = f"{tenant} {at.month}"
            record_event(session, tenant, UsageKind.CPU_SECONDS, amount, key=key, run=f"{tenant}-run", at=at)


def test_an_owner_sees_all_tenants_and_others_their_own(coat, act_as):
    act_as("owner")
    rows = json.loads(coat("usage", "--by", "tenant", "--json")[1])
    assert {row["tenant"]: row["cpu_seconds"] for row in rows} == {"music": 5, "speech": 90}
    assert [row["tenant"] for row in json.loads(coat("usage", "--by", "tenant", "--tenant", "music", "--json")[1])] == [
        "music"
    ]
    act_as("speech")
    assert [row["cpu_seconds"] for row in json.loads(coat("usage", "--by", "tenant", "--json")[1])] == [90]
    code, _, err = coat("usage", "--tenant", "music")
    assert code == 1
    assert "takes the owner" in err


def test_csv_and_json_say_the_same(coat, act_as):
    act_as("speech")
    rows = json.loads(coat("usage", "--by", "month", "--by", "run", "--json")[1])
    table = list(csv.DictReader(io.StringIO(coat("usage", "--by", "month", "--by", "run", "--csv")[1])))
    assert [(row["month"], row["run"], row["cpu_seconds"]) for row in rows] == [
        ("2026-10", "speech-run", 60),
        ("2026-11", "speech-run", 30),
    ]
    assert [{**row, "cpu_seconds": float(row["cpu_seconds"])}["cpu_seconds"] for row in table] == [60, 30]
    assert list(table[0]) == list(rows[0])


def test_one_month_can_be_asked_for(coat, act_as):
    act_as("speech")
    out = coat("usage", "--month", "2026-10")[1]
    assert "60" in out
    assert "2026-11" not in out
    assert "nothing used" in coat("usage", "--month", "2020-01")[1]
    code, _, err = coat("usage", "--month", "2026-13")
    assert code == 1
    assert "is not a month" in err


def test_what_models_were_asked_is_shown_with_its_tokens(coat, service, act_as):
    with service.database.begin() as session:
        record_event(session, "music", UsageKind.PROMPT_TOKENS, 120, key="t", at=NOVEMBER)
        record_event(session, "music", UsageKind.COMPLETION_TOKENS, 7, key="t", at=NOVEMBER)
    act_as("music")
    [row] = json.loads(coat("usage", "--by", "tenant", "--json")[1])
    assert (row["prompt_tokens"], row["completion_tokens"]) == (120, 7)
    assert "completion tokens" in coat("usage")[1]
    [line] = csv.DictReader(io.StringIO(coat("usage", "--by", "tenant", "--csv")[1]))
    assert (line["prompt_tokens"], line["completion_tokens"]) == ("120", "7")
