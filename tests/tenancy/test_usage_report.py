"""Reports break usage down by tenant, run and month, and leave the house as CSV and JSON."""

import csv
import io
import json
from datetime import timedelta

import pytest

from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.usage import record_event, record_interval
from coat_ray.tenancy.usage_report import UsageTotal, to_csv, to_json, usage_totals

from .conftest import NOW

HOUR = timedelta(hours=1)


@pytest.fixture
def used(database):
    """Two runs of one tenant in two months, and requests of another."""
    with database.begin() as session:
        for run, start in (("a", NOW), ("a", NOW + timedelta(days=30)), ("b", NOW)):
            for kind, devices in ((UsageKind.ACCELERATOR_SECONDS, 2), (UsageKind.CPU_SECONDS, 8)):
                record_interval(session, "speech", kind, run=run, start=start, end=start + HOUR, per_second=devices)
        for number in range(3):
            record_event(session, "music", UsageKind.REQUESTS, 1, key=str(number), at=NOW)
            record_event(session, "music", UsageKind.AUDIO_SECONDS, 2.5, key=str(number), at=NOW)
        record_event(session, "music", UsageKind.STORAGE_BYTES, 1000, key="x", run="c", at=NOW)
    return database


def test_by_everything_each_group_is_a_line(used):
    both = {"accelerator_seconds": 7200.0, "cpu_seconds": 28800.0}
    assert _totals(used) == [
        UsageTotal("music", None, "2026-11", requests=3, audio_seconds=7.5),
        UsageTotal("music", "c", "2026-11", storage_bytes=1000),
        UsageTotal("speech", "a", "2026-11", **both),
        UsageTotal("speech", "a", "2026-12", **both),
        UsageTotal("speech", "b", "2026-11", **both),
    ]


def test_by_nothing_it_is_one_line(used):
    assert _totals(used, by=[]) == [
        UsageTotal(accelerator_seconds=21600.0, cpu_seconds=86400.0, requests=3, audio_seconds=7.5, storage_bytes=1000)
    ]


@pytest.mark.parametrize(
    ("filters", "hours"), [({"tenant": "speech"}, 6), ({"run": "a"}, 4), ({"month": "2026-12"}, 2), ({"run": "z"}, 0)]
)
def test_filters_leave_what_fits(used, filters, hours):
    assert sum(total.accelerator_seconds for total in _totals(used, **filters)) == hours * 3600


def test_csv_reads_back(used):
    totals = _totals(used)
    lines = list(csv.DictReader(io.StringIO(to_csv(totals))))
    assert lines[0] == {
        "tenant": "music",
        "run": "",
        "month": "2026-11",
        "accelerator_seconds": "0.0",
        "cpu_seconds": "0.0",
        "storage_bytes": "0",
        "requests": "3",
        "audio_seconds": "7.5",
        "prompt_tokens": "0",
        "completion_tokens": "0",
    }
    assert [line["accelerator_seconds"] for line in lines] == [str(total.accelerator_seconds) for total in totals]


def test_json_reads_back(used):
    totals = _totals(used)
    assert [UsageTotal(**line) for line in json.loads(to_json(totals))] == totals


@pytest.mark.parametrize(
    ("options", "text"), [({"by": ["team"]}, "cannot be broken down by 'team'"), ({"month": "May"}, "YYYY-MM")]
)
def test_a_report_that_there_is_not_says_what_there_is(database, options, text):
    with pytest.raises(ValueError, match=text):
        _totals(database, **options)


def _totals(database, **options):
    with database.read() as session:
        return usage_totals(session, **options)
