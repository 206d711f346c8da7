"""`coat audit`: filtered, page by page, as a table, CSV and JSON."""

import csv
import io
import json

import pytest

from coat_ray.commands import audit
from coat_ray.tenancy.audit import record


@pytest.fixture(scope="module", autouse=True)
def written(service):
    with service.database.begin() as session:
        for number in range(7):
            record(session, None, "test.write", f"thing/{number}", tenant="speech", detail={"number": number})
        record(session, None, "test.read", "=HYPERLINK(1)", tenant="speech", reason="-1+1")


@pytest.fixture(autouse=True)
def _admin(act_as):
    act_as("admin")


def targets(out):
    return [line["target"] for line in json.loads(out)]


def test_lines_are_filtered(coat):
    assert targets(coat("audit", "--target", "thing/3", "--json")[1]) == ["thing/3"]
    assert len(targets(coat("audit", "--action", "test.", "--json")[1])) == 8
    assert targets(coat("audit", "--action", "test.write", "--until", "2020-01-01", "--json")[1]) == []
    assert len(targets(coat("audit", "--action", "test.write", "--since", "2020-01-01T00:00:00", "--json")[1])) == 7


def test_pages_are_put_together_and_the_next_one_is_named(coat, monkeypatch):
    monkeypatch.setattr(audit, "PAGE", 2)
    newest = targets(coat("audit", "--action", "test.write", "--limit", 5, "--json")[1])
    assert newest == [f"thing/{number}" for number in (6, 5, 4, 3, 2)]
    out = coat("audit", "--action", "test.write", "--limit", 5)[1]
    before = out.rpartition("--before ")[2].strip()
    rest = coat("audit", "--action", "test.write", "--before", before, "--json")[1]
    assert targets(rest) == ["thing/1", "thing/0"]


def test_csv_has_every_field_and_no_formula(coat, service):
    rows = list(csv.DictReader(io.StringIO(coat("audit", "--action", "test.", "--csv")[1])))
    assert len(rows) == 8
    assert (rows[0]["target"], rows[0]["reason"]) == ("'=HYPERLINK(1)", "'-1+1")
    assert json.loads(rows[1]["detail"]) == {"number": 6}
    assert list(rows[0]) == list(json.loads(coat("audit", "--limit", 1, "--json")[1])[0])
    served = service.client("admin").get("/audit", action="test.", format="csv")
    assert list(csv.DictReader(io.StringIO(served))) == rows


def test_denials_are_there_and_only_admins_read_them(coat, act_as):
    act_as("speech")
    code, _, err = coat("audit")
    assert code == 1
    assert "read the audit log" in err
    act_as("admin")
    [line] = json.loads(coat("audit", "--outcome", "denied", "--limit", 1, "--json")[1])
    assert (line["action"], line["actor_role"]) == ("GET /audit", "member")
