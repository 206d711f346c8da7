"""The page as visitors use it: real servers, a real browser, and nothing from outside."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from benchmarks.visitor import PHONE
from ui import sentences

pytestmark = pytest.mark.slow

MODEL = "base:speech/trial@1"
UNNAMED = """[...document.querySelectorAll('button, input, textarea, select')]
  .filter(e => e.offsetParent && !e.closest('[aria-hidden=true]') && !(e.innerText || e.ariaLabel || e.title ||
    e.getAttribute('aria-labelledby') || (e.labels && e.labels.length))).map(e => e.outerHTML.slice(0, 120))"""


def choose(page, picker, name):
    """A model in a picker."""
    box = page.locator(f"#{picker} input")
    expect(box).to_have_value(re.compile("base"))
    box.click()
    page.get_by_role("option", name=name, exact=True).click()
    expect(box).to_have_value(name)


def ask(page, question):
    page.locator("#ask-question textarea").fill(question)
    page.locator("#ask-send").click()


def take_example(page, name="A melody"):
    page.get_by_role("button", name=name).locator("visible=true").first.click()
    expect(
        page.locator("[data-testid=waveform-controls], .waveform-container").locator("visible=true").first
    ).to_be_visible()


def test_nobody_comes_in_with_a_wrong_key_and_the_key_that_is_right_stays_on_the_server(world, visitor):
    guest = visitor()
    page = guest.page
    page.goto(f"{world.url}/ui/")
    expect(page).to_have_url(f"{world.url}/ui/door")
    guest.picture("door")
    page.get_by_label("API key").fill(f"{world.keys['speech'][:-4]}xxxx")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not accepted")
    guest.sign_in(world.keys["speech"])
    expect(page.locator("#bar")).to_contain_text("speech · admin")
    [cookie] = guest.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert world.keys["speech"] not in page.content() + cookie["value"] + page.url
    assert world.keys["speech"] not in json.dumps(page.evaluate("[{...localStorage}, {...sessionStorage}]"))
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{world.url}/ui/door")
    page.goto(f"{world.url}/ui/")
    expect(page).to_have_url(f"{world.url}/ui/door")


def test_a_visitor_uploads_a_clip_asks_twice_stops_and_begins_anew(world, visitor, wav):
    guest = visitor()
    page = guest.sign_in(world.keys["speech"])
    chat, status = page.locator("#ask-chat"), page.locator("#ask-status")
    page.locator("#ask-send").click()
    expect(status).to_contain_text(sentences.EMPTY_QUESTION)
    page.locator("#ask-clip input[type=file]").set_input_files(wav())
    choose(page, "ask-model", MODEL)
    ask(page, "what sound is heard?")
    expect(status).to_contain_text("first token after")
    expect(status).to_contain_text("block of")
    expect(chat.locator("audio")).to_have_count(1)
    expect(chat).to_contain_text("what sound is heard?")
    ask(page, "and how loud is it?")
    expect(chat).to_contain_text("and how loud is it?")
    expect(status).to_contain_text("first token after")
    expect(chat.locator("audio")).to_have_count(1)  # still about the same clip
    guest.picture("ask")
    page.locator("#ask-mode").get_by_label("Text reasoning").check()
    page.locator("#ask-retry").click()
    expect(page.locator("#ask-stop")).to_be_visible()
    page.locator("#ask-stop").click()
    expect(page.locator("#ask-send")).to_be_visible()
    expect(chat).to_contain_text(sentences.STOPPED)
    page.locator("#ask-new").click()
    expect(chat).not_to_contain_text("what sound is heard?")


def test_a_visitor_records_and_asks(world, visitor):
    page = visitor().sign_in(world.keys["speech"])
    page.locator("#ask-clip").get_by_label("Record audio").click()
    page.locator("#ask-clip").get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1500)
    page.locator("#ask-clip").get_by_role("button", name="Stop", exact=True).click()
    expect(
        page.locator("#ask-clip .waveform-container, #ask-clip [data-testid=waveform-controls]").first
    ).to_be_visible()
    ask(page, "what is heard?")
    expect(page.locator("#ask-status")).to_contain_text("first token after")
    expect(page.locator("#ask-chat audio")).to_have_count(1)


def test_what_goes_wrong_is_a_sentence_and_the_conversation_is_kept(world, visitor, wav, tmp_path):
    page = visitor().sign_in(world.keys["leaving"])
    status, chat = page.locator("#ask-status"), page.locator("#ask-chat")
    letter = tmp_path / "letter.wav"
    letter.write_text("dear all")
    page.locator("#ask-clip input[type=file]").set_input_files(letter)
    ask(page, "what is heard?")
    expect(status).to_contain_text("This file is not audio")
    page.locator("#ask-clip").get_by_label("Clear").click()
    page.locator("#ask-clip input[type=file]").set_input_files(wav("long.wav", seconds=75))
    ask(page, "what is heard?")
    expect(chat).to_contain_text("this model hears 30 s")
    world.revoke("leaving")
    page.locator("#ask-retry").click()
    expect(chat).to_contain_text(sentences.SIGNED_OUT)
    expect(chat).to_contain_text("what is heard?")


def test_inside_the_block_student_and_teachers_stand_in_one_time_and_can_be_saved(world, visitor):
    guest = visitor()
    page = guest.sign_in(world.keys["speech"])
    guest.open("Inside the block")
    page.locator("#inside-look").click()
    expect(page.locator("#inside-said")).to_contain_text(sentences.NO_CLIP)
    take_example(page)
    choose(page, "inside-model", MODEL)
    page.get_by_label("Remove the block and ask again").check()
    page.locator("#inside-look").click()
    table = page.locator("table.reads")
    for name in ("Sound", "Sound events", "Affect", "Pitch", "Speech"):
        expect(table).to_contain_text(name)
    expect(table.locator(".meter")).not_to_have_count(0)
    expect(page.locator("#inside-said")).to_contain_text("Without the block")
    plot = page.locator("#inside-plot .js-plotly-plot")
    expect(plot).to_contain_text("Sound events · teacher (panns)")
    ranges = plot.evaluate(
        "p => Object.keys(p._fullLayout).filter(k => /^xaxis/.test(k)).map(k => p._fullLayout[k].range)"
    )
    assert len(ranges) > 6
    assert len({tuple(each) for each in ranges}) == 1
    page.evaluate("document.getElementById('inside-player').currentTime = 0.5")
    cursor = page.locator(".coat-cursor")
    expect(cursor).to_be_visible()
    before = cursor.bounding_box()["x"]
    page.evaluate("document.getElementById('inside-player').currentTime = 1.0")
    page.wait_for_function(f"document.querySelector('.coat-cursor').getBoundingClientRect().x > {before + 20}")
    guest.picture("inside")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save JSON").click()
    read = json.loads(saved.value.path().read_text())
    assert set(read["teachers"]) >= {"sed", "speech", "pitch", "recon"}
    assert "answer_without_block" in read
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save PNG").click()
    assert saved.value.path().read_bytes()[:4] == b"\x89PNG"


def test_three_ways_answer_side_by_side(world, visitor):
    guest = visitor()
    page = guest.sign_in(world.keys["speech"])
    guest.open("Compare")
    take_example(page, "Two sounds")
    page.locator("#compare-ask").click()
    expect(page.locator(".bars")).to_have_count(3)
    expect(page.locator("#compare-answer-2")).to_contain_text("Reasoning")
    guest.picture("compare")


def test_a_run_is_started_from_a_form_seen_and_stopped_by_members_only(world, visitor):
    guest = visitor()
    page = guest.sign_in(world.keys["speech"])
    guest.open("Experiments")
    page.get_by_text("Start a training or a sweep").click()
    page.locator("#start-name input, #start-name textarea").fill("from-the-page")
    page.locator("#start-stages-0-steps input").fill("3")
    guest.picture("form")
    page.locator("#start-run").click()
    expect(page.locator("#experiments-note")).to_contain_text("from-the-page is queued")
    expect(page.locator("#runs-list")).to_contain_text("from-the-page")
    [run] = [r for r in world.runs() if r["name"] == "from-the-page"]
    assert run["config"]["stages"][0]["steps"] == 3
    expect(page.locator("#run-facts")).to_contain_text("from-the-page")
    guest.picture("experiments")
    page.locator("#run-stop").click()
    expect(page.locator("#run-facts")).to_contain_text("stopped")
    other = visitor()
    page = other.sign_in(world.keys["viewer"])
    other.open("Experiments")
    expect(page.locator("#runs-list")).to_contain_text("from-the-page")
    expect(page.locator("#run-stop")).to_be_hidden()
    stranger = visitor()
    page = stranger.sign_in(world.keys["music"])
    stranger.open("Experiments")
    expect(page.get_by_text("No runs yet")).to_be_visible()
    expect(page.locator("#runs-list")).not_to_contain_text("from-the-page")


def test_the_cluster_is_for_owners_and_admins(world, visitor):
    owner = visitor()
    page = owner.sign_in(world.keys["owner"])
    owner.open("Cluster")
    for team in ("speech", "music"):
        expect(page.locator("#cluster-teams")).to_contain_text(team)
    owner.picture("cluster")
    viewer = visitor()
    page = viewer.sign_in(world.keys["viewer"])
    expect(page.get_by_role("tab", name="Experiments")).to_be_visible()
    expect(page.get_by_role("tab", name="Cluster")).to_be_hidden()


def test_another_teams_file_clip_and_reading_are_refused(world, visitor, wav):
    guest = visitor()
    page = guest.sign_in(world.keys["speech"])
    with page.expect_response(lambda answer: "/upload" in answer.url and answer.request.method == "POST") as uploading:
        page.locator("#ask-clip input[type=file]").set_input_files(wav(hertz=333))
    [path] = uploading.value.json()
    ask(page, "what is heard?")
    clip = page.locator("#ask-chat audio").get_attribute("src")
    urls = [f"{world.url}/ui/gradio_api/file={path}", f"{world.url}{clip}"]
    assert [guest.context.request.get(url).status for url in urls] == [200, 200]
    stranger = visitor()
    stranger.sign_in(world.keys["music"])
    assert [stranger.context.request.get(url).status for url in urls] == [404, 404]
    guest.context.clear_cookies()
    assert [guest.context.request.get(url).status for url in urls] == [401, 401]


def test_a_visitor_with_a_phone_and_keys_only_can_ask(world, visitor):
    guest = visitor(size=PHONE)
    page = guest.sign_in(world.keys["speech"])
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]
    page.locator("#ask-question textarea").focus()
    page.keyboard.type("what is heard?")
    page.keyboard.press("Enter")
    expect(page.locator("#ask-status")).to_contain_text("first token after")
    guest.picture("phone")
    unnamed = page.evaluate(UNNAMED)
    assert unnamed == []
    assert urlsplit(page.url).query == ""
