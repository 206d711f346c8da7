"""Written multiple-choice answers, the nasty ones above all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.corpus.soundworld.facts import KINDS, sample_clip
from coat_ray.corpus.soundworld.questions import ask
from coat_ray.evaluation.marking.choices import Options, parse_choice, parse_options

INSTRUMENTS = Options({"a": "flute", "b": "violin", "c": "piano"})
NOTES = Options({"a": "c", "b": "a", "c": "c sharp"})
ANIMALS = Options({"a": "a cat", "b": "a dog", "c": "no animal"})
YES_NO = Options({"a": "yes", "b": "no"})


@pytest.mark.parametrize(
    "question",
    [
        "<audio>\nwhich instrument plays? (a) flute (b) violin (c) piano",
        "Which instrument plays?\nA. Flute\nB. Violin\nC. Piano.",
        "Which instrument plays?\n(A) flute\n(B) violin\n(C) piano",
        "Which instrument plays? a) flute b) violin c) piano",
    ],
)
def test_options_are_read_in_the_usual_notations(question: str) -> None:
    assert parse_options(question) == INSTRUMENTS


@pytest.mark.parametrize(
    "question",
    ["which instrument plays?", "(a) flute", "(b) flute (c) violin", "(a) flute (b) Flute!", "(a) (b) flute (c) x"],
)
def test_a_question_without_distinct_options_is_an_error(question: str) -> None:
    with pytest.raises(ValueError, match="options"):
        parse_options(question)


@pytest.mark.parametrize(
    "answer",
    [
        "(b) violin",
        "(b)",
        "(B) Violin.",
        "b",
        "B",
        "B.",
        "b)",
        "B: violin",
        "b, violin",
        "b violin",
        "[b]",
        "**B**",
        "**(b) violin**",
        "b\nbecause it is bowed",
        "violin",
        "Violin!",
        "a violin",
        "A violin plays",
        "I think it's a violin.",
        "the answer is b",
        "The correct answer is (b).",
        "Answer: B",
        "**Answer:** (b)",
        "option b",
        "I choose (b)",
        "the answer is a violin",
        "(b) because a is wrong",
        "(b) because (a) is wrong",
        "b because a is wrong",
        "(b) because the flute is wrong",
        "(b) violin, not flute",
        "(b), it is not a flute",
        "The instrument is (b) violin.",
    ],
)
def test_answers_that_choose_the_violin(answer: str) -> None:
    assert parse_choice(answer, INSTRUMENTS) == "b"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   ",
        "...",
        "trumpet",
        "d",
        "(d) violin",
        "(a) or (b)",
        "a or b",
        "A, B",
        "a and b",
        "b, maybe c",
        "It is b, maybe c",
        "flute or violin",
        "(b) violin and flute",
        "(b) flute",
        "b flute",
        "not (b)",
        "it is not a violin",
        "(b) is wrong",
        "(b) violin is wrong",
        "(b) violin is not heard, the flute is",
        "none of them",
        "violins",
        "A dog barks",
        "a loud noise",
        "I do not know",
        "(a) flute (b) violin (c) piano",
    ],
)
def test_answers_that_choose_nothing(answer: str) -> None:
    assert parse_choice(answer, INSTRUMENTS) is None


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("(b) a", "b"),
        ("(b)", "b"),
        ("b", "b"),
        ("c sharp", "c"),
        ("C#", "c"),
        ("(c) c sharp", "c"),
        ("c sharp is heard", "c"),
        ("(a) c", "a"),
        ("(a)", "a"),
        ("a", None),  # option (a) or the note a
        ("c", None),  # option (c) or the note c
        ("(b) c", None),
        ("a-flat", None),
        ("a dog barks", None),
    ],
)
def test_notes_are_not_letters(answer: str, letter: str | None) -> None:
    assert parse_choice(answer, NOTES) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("A dog barks", "b"), ("A dog", "b"), ("A", "a"), ("a cat, not a dog", None), ("A bird sings", None)],
)
def test_an_article_is_not_option_a(answer: str, letter: str | None) -> None:
    assert parse_choice(answer, ANIMALS) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("no", "b"), ("No, it does not.", "b"), ("yes", "a"), ("yes and no", None), ("not really", None)],
)
def test_no_can_be_an_option(answer: str, letter: str | None) -> None:
    assert parse_choice(answer, YES_NO) == letter


@given(st.text())
def test_every_answer_is_read_as_one_of_the_letters_or_not_at_all(answer: str) -> None:
    assert parse_choice(answer, INSTRUMENTS) in {"a", "b", "c", None}


@given(
    st.lists(st.sampled_from(["flute", "violin", "c sharp", "c", "a", "angry", "a dog", "no"]), min_size=2, unique=True)
)
def test_the_world_s_own_answers_are_always_read(texts: list[str]) -> None:
    lettered = [(chr(ord("a") + i), text) for i, text in enumerate(texts)]
    options = parse_options("what is it? " + " ".join(f"({letter}) {text}" for letter, text in lettered))
    for letter, text in lettered:
        assert parse_choice(f"({letter}) {text}", options) == letter


@pytest.mark.parametrize("split", ["train", "test"])
def test_soundworlds_questions_and_references_are_read(split: str) -> None:
    rng = np.random.default_rng(0)
    read = 0
    for kind in KINDS:
        for _ in range(10):
            for qa in ask(sample_clip(split, kind, rng), rng, tasks={"multiple_choice"}):
                options = parse_options(f"<audio>\n{qa.question}")
                letter, text = qa.answer[1], qa.answer[4:]
                assert options.texts[letter] == text
                assert parse_choice(qa.answer, options) == letter
                read += 1
    assert read > 50
