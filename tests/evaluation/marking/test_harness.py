"""The compatible score is lmms-eval's own, on the same answers.

``lmms_eval_0_7_3.json`` holds answers that we wrote and the values that lmms-eval 0.7.3 gave them.
"""

import json
from pathlib import Path

import pytest

from coat_ray.evaluation.benchmarks import PUBLIC
from coat_ray.evaluation.marking.harness import HARNESS
from coat_ray.evaluation.marking.judge_prompts import JUDGE_PROMPTS
from coat_ray.evaluation.marking.rules import Item

THEIRS = json.loads((Path(__file__).parent / "lmms_eval_0_7_3.json").read_text())
NAMES = {
    "air_bench": "air_bench_music",
    "clotho": "clotho_aqa",
    "librispeech": "librispeech_clean",
    "common_voice_15": "common_voice_15_en",
    "open_asr": "spgispeech",
    "voxpopuli": "voxpopuli_en",
}
CASES = [
    (NAMES.get(task, task), case, value)
    for kind in ("choice", "vocalsound", "clotho", "asr")
    for case in THEIRS[kind]
    for task, value in case["values"].items()
]


def item_of(case) -> Item:
    return Item(case.get("reference", ""), tuple(case.get("options", ())), case.get("target", ""))


def test_the_values_are_of_the_version_that_is_stated() -> None:
    assert THEIRS["harness"] == HARNESS
    assert len(CASES) > 600


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES}))
def test_every_answer_scores_what_the_harness_gives_it(name) -> None:
    for benchmark, case, value in CASES:
        if benchmark == name:
            mark = PUBLIC[name].compatible.mark(item_of(case), case["answer"])
            ours = mark.numerator / mark.denominator if mark.denominator else None
            assert ours == (None if value is None else pytest.approx(value)), case


@pytest.mark.parametrize("name", THEIRS["corpus_wer"])
def test_the_score_of_all_answers_together_is_the_harness_aggregate(name) -> None:
    rule = PUBLIC[NAMES.get(name, name)].compatible
    marks = [rule.mark(item_of(case), case["answer"]) for case in THEIRS["asr"]]
    ours = sum(mark.numerator for mark in marks) / sum(mark.denominator for mark in marks)
    assert ours == pytest.approx(THEIRS["corpus_wer"][name])


@pytest.mark.parametrize("case", THEIRS["judge"], ids=lambda case: case["reply"][:20])
def test_a_judges_reply_is_rated_as_the_harness_reads_it(case) -> None:
    for name in ("alpaca_audio", "wavcaps"):
        prompt = PUBLIC[name].judge
        assert prompt is not None
        assert JUDGE_PROMPTS[prompt].harness_rating(case["reply"]) == case["values"][name]
