"""From the page to a model of one's own: a small training on the real platform, watched, promoted, asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from benchmarks.own_platform import RUN_CPUS, OwnPlatform
from benchmarks.visitor import Visitor

pytestmark = pytest.mark.slow

TRAINED_MS = 900_000


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPlatform]:
    """The whole platform, as `coat up` starts it."""
    made = OwnPlatform(tmp_path_factory.mktemp("home"), 2 * RUN_CPUS)
    made.up()
    try:
        yield made
    finally:
        made.coat("down")


def test_a_training_is_started_watched_promoted_and_asked(platform, browser, tmp_path):
    platform.team("speech")
    folder = Path(os.environ.get("BROWSER_PICTURES") or tmp_path)
    guest = Visitor(browser, platform.url, folder)
    page = guest.sign_in(platform.keys["speech"])
    guest.open("Experiments")
    page.get_by_text("Start a training or a sweep").click()
    page.locator("#start-name textarea, #start-name input").fill("mine")
    for field, value in (("stages-0-steps", "12"), ("stages-1-steps", "8"), ("training-batch-rows", "4")):
        page.locator(f"#start-{field} input").fill(value)
    page.locator("#start-resources-train-workers input").fill("1")
    page.locator("#start-arms").get_by_label("coat").uncheck()
    page.locator("#start-evaluation-compare input").uncheck()
    page.locator("#start-run").click()
    expect(page.locator("#experiments-note")).to_contain_text("mine is queued")
    facts = page.locator("#run-facts")
    expect(facts).to_contain_text("mine")
    expect(facts).to_contain_text("done", timeout=TRAINED_MS)
    expect(page.locator("#run-curves .js-plotly-plot")).to_be_visible()
    guest.picture("trained")
    page.locator("#promote-alias textarea, #promote-alias input").fill("best")
    page.locator("#promote").click()
    expect(page.locator("#experiments-note")).to_contain_text("is best now")
    guest.open("Ask")
    picker = page.locator("#ask-model input")
    picker.click()
    page.get_by_role("option").filter(has_text="@best").click()
    page.get_by_role("button", name="A melody").locator("visible=true").first.click()
    expect(page.locator("#ask-question textarea")).not_to_have_value("")
    page.locator("#ask-send").click()
    expect(page.locator("#ask-status")).to_contain_text("first token after")
    assert guest.outside == []
    assert guest.errors == []
