"""The page of a corpus of our own: tables, and what to listen to, beside a reference model."""

import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from coat_ray.audio import load_audio
from coat_ray.corpus.manifest import Manifest, Message, Row
from coat_ray.evaluation.reports.evaluation_report import Found
from coat_ray.evaluation.reports.examples import RATE, Answered, example_sections
from coat_ray.evaluation.run import evaluate
from tests.evaluation.benchmarks.datasets_of_ours import wav

HOSTILE = "<script>alert(1)</script>"


class Seen(HTMLParser):
    def __init__(self, text) -> None:
        super().__init__()
        self.sounds, self.links, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "audio":
            self.sounds.append(found["src"])
        self.links += [found[key] for key in ("src", "href") if key in found]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def found(rows, scripted, tmp_path) -> Found:
    (tmp_path / "clips").mkdir()
    for number in range(8):
        (tmp_path / "clips" / f"{number}.flac").write_bytes(wav(number))
    wrong = {"good": lambda row: None, "bad": lambda row: HOSTILE if row.task == "music" else None}
    evaluations = [
        evaluate(scripted(wrong[model]), rows, tmp_path / f"{model}.jsonl", model=model) for model in ("good", "bad")
    ]
    return Found("toy", evaluations, Manifest(tuple(rows), tmp_path), reference="good")


def test_the_page_needs_nothing_else_and_plays_the_worst_answers(found, tmp_path) -> None:
    page, markdown, numbers = found.write(tmp_path / "report")
    seen = Seen(page.read_text())
    assert seen.sounds
    assert all(link.startswith("data:") for link in seen.links)
    assert HOSTILE not in page.read_text()
    assert HOSTILE in "".join(seen.text)
    assert any("of 40 answers, 16 are worse than those of good and 0 better" in text for text in seen.text)
    assert markdown.read_text().startswith("### toy: scores in %")
    assert json.loads(numbers.read_text())["scores"]["differences"]["bad-good"]["mean_accuracy"]["value"] < 0


def test_a_clip_that_is_gone_leaves_its_example_without_sound(found, tmp_path) -> None:
    for path in (tmp_path / "clips").iterdir():
        path.unlink()
    page, *_ = found.write(tmp_path / "report")
    assert Seen(page.read_text()).sounds == []


def test_an_example_plays_the_first_clip_of_its_row_whatever_the_file_is_called(rows, scripted, tmp_path) -> None:
    for number, name in enumerate(("a first clip.wav", "another one.wav")):
        (tmp_path / name).write_bytes(wav(number))
    turn = Message(role="user", content="<audio><audio>\nwhich is higher?")
    row = Row(
        id="two", messages=(turn, rows[0].messages[1]), audios=("a first clip.wav", "another one.wav"), task="music"
    )
    evaluation = evaluate(scripted(lambda row: "neither"), [row], tmp_path / "a.jsonl", model="toy")
    [section] = example_sections("toy", Answered(evaluation, Manifest((row,), tmp_path)), None)
    played, _ = soundfile.read(io.BytesIO(section.examples[0].sound))
    assert np.allclose(played, load_audio(tmp_path / "a first clip.wav", RATE), atol=1e-4)
