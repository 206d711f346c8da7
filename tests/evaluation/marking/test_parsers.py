"""Written answers, forty and more of each family, the nasty ones above all. Multiple choice is in test_choices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.evaluation.marking.parsers import parse_label, parse_number, parse_yes_no, short_answer
from coat_ray.evaluation.marking.rules import CHOICE, CLOSED, Item

EMOTIONS = {
    "ang": ("angry", "anger"),
    "hap": ("happy", "happiness", "excited"),
    "neu": ("neutral",),
    "sad": ("sad", "sadness"),
}
SOUNDS = {"Throat clearing": ("throat clearing", "clearing throat", "throat"), "Cough": ("cough", "coughing")}
GENRES = {"rock": ("rock",), "pop": ("pop",), "hiphop": ("hiphop", "hip hop"), "classical": ("classical",)}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("yes", "yes"),
        ("Yes.", "yes"),
        ("YES!", "yes"),
        ("**Yes**", "yes"),
        ("yeah", "yes"),
        ("Yes, a dog barks.", "yes"),
        ("The answer is yes.", "yes"),
        ("Answer: yes", "yes"),
        ("I think yes", "yes"),
        ("I would say yes", "yes"),
        ("Probably yes", "yes"),
        ("Well, yes.", "yes"),
        ("yes yes yes", "yes"),
        ("Yes, yes it is", "yes"),
        ("yes\nbecause it is loud", "yes"),
        ("'yes'", "yes"),
        ("no", "no"),
        ("No.", "no"),
        ("nope", "no"),
        ("No, it does not.", "no"),
        ("no, not at all", "no"),
        ("The answer is no", "no"),
        ("No dog barks", "no"),
        ("No, nothing is heard", "no"),
        ("It is no.", "no"),
        ("", None),
        ("...", None),
        ("maybe", None),
        ("yes and no", None),
        ("yes or no", None),
        ("No, yes", None),
        ("Yes, there is no dog", None),
        ("No idea", None),
        ("no clue", None),
        ("No audio is heard", None),
        ("no problem", None),
        ("I do not know", None),
        ("not yes", None),
        ("There is no dog", None),
        ("A dog barks", None),
        ("eyes", None),
        ("nothing", None),
        ("know", None),
        ("yesterday", None),
        ("Nobody speaks", None),
        ("true", None),
        ("1", None),
        ("It depends", None),
    ],
)
def test_yes_and_no(answer, said) -> None:
    assert parse_yes_no(answer) == said


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("angry", "ang"),
        ("Angry.", "ang"),
        ("ANGER", "ang"),
        ("**sad**", "sad"),
        ("The speaker is sad", "sad"),
        ("The speaker sounds very happy!", "hap"),
        ("happiness", "hap"),
        ("excited", "hap"),
        ("happy and excited", "hap"),
        ("neutral", "neu"),
        ("It is neutral.", "neu"),
        ("Emotion: neutral", "neu"),
        ("not angry but sad", "sad"),
        ("sad, not angry", "sad"),
        ("sad rather than angry", "sad"),
        ("sad, never happy", "sad"),
        ("neither happy nor sad: neutral", "neu"),
        ("not a happy but a sad voice", "sad"),
        ("sad (angry is wrong)", "sad"),
        ("It isn't happy, it's angry", "ang"),
        ("angry, angry, angry", "ang"),
        ("sadness\nbecause the voice is low", "sad"),
        ("I hear anger in the voice", "ang"),
        ("happy without anger", "hap"),
        ("", None),
        ("...", None),
        ("unknown", None),
        ("angry or sad", None),
        ("angry and sad", None),
        ("happy, sad, angry, neutral", None),
        ("not angry", None),
        ("It is not really sad", None),
        ("no anger", None),
        ("angry is wrong", None),
        ("hangry", None),
        ("unhappy", None),
        ("sadly", None),
        ("neutralize", None),
        ("mad", None),
        ("A", None),
        ("the speaker is calm", None),
        ("never sad", None),
        ("sad is incorrect", None),
        ("I cannot tell", None),
    ],
)
def test_emotions(answer, label) -> None:
    assert parse_label(answer, EMOTIONS) == label


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Throat clearing", "Throat clearing"),
        ("clearing throat", "Throat clearing"),
        ("a cough", "Cough"),
        ("coughing", "Cough"),
        ("throat clearing, not a cough", "Throat clearing"),
        ("a cough and throat clearing", None),
        ("coughs", None),
    ],
)
def test_names_of_several_words(answer, label) -> None:
    assert parse_label(answer, SOUNDS) == label


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Hip-Hop", "hiphop"),
        ("hiphop", "hiphop"),
        ("pop rock", None),
        ("popular", None),
        ("rocks", None),
        ("hop", None),
    ],
)
def test_genres(answer, label) -> None:
    assert parse_label(answer, GENRES) == label


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("3", 3),
        ("three", 3),
        ("Three.", 3),
        ("three dogs", 3),
        ("There are 3.", 3),
        ("about 7", 7),
        ("7.", 7),
        ("**7**", 7),
        ("twenty-two", 22),
        ("twenty two", 22),
        ("one hundred", 100),
        ("a hundred", 100),
        ("one hundred and five", 105),
        ("five thousand two hundred and one", 5201),
        ("1,000", 1000),
        ("3.5", 3.5),
        ("-3", -3),
        ("\u22123", -3),
        ("zero", 0),
        ("none", 0),
        ("Nothing", 0),
        ("three three", 3),
        ("4 (four)", 4),
        ("4, i.e. four", 4),
        ("one", 1),
        ("I count 4 beeps", 4),
        ("eleven hundred", 1100),
        ("nineteen", 19),
        ("", None),
        ("two or three", None),
        ("2 or 3", None),
        ("between 2 and 4", None),
        ("one, two, three", None),
        ("thirty, one", None),
        ("3 beeps in 10 seconds", None),
        ("2nd", None),
        ("1960s", None),
        ("50%", None),
        ("1/2", None),
        ("10:30", None),
        ("no one speaks", None),
        ("one of them", None),
        ("the second one", None),
        ("this one", None),
        ("a dozen", None),
        ("several", None),
        ("someone", None),
        ("often", None),
    ],
)
def test_numbers(answer, number) -> None:
    assert parse_number(answer) == number


@pytest.mark.parametrize(
    ("reference", "answer", "right", "parsed"),
    [
        ("yes", "Yes, it does.", True, True),
        ("yes", "perhaps", False, False),
        ("no", "yes", False, True),
        ("three", "3", True, True),
        ("3", "three dogs", True, True),
        ("3", "4", False, True),
        ("3", "many", False, False),
        ("dog", "A dog.", True, True),
        ("dog", "It is a dog", True, True),
        ("dog", "the answer is dog", True, True),
        ("dog", "dogs", False, True),
        ("dog", "", False, False),
        ("the sea", "sea", True, True),
    ],
)
def test_closed_answers_are_read_as_the_reference_is(reference, answer, right, parsed) -> None:
    mark = CLOSED.mark(Item(reference), answer)
    assert (bool(mark.numerator), mark.parsed) == (right, parsed)


@pytest.mark.parametrize(
    ("options", "answer", "read"),
    [
        (("a cat", "a dog", "rain"), "A dog barks", "B"),
        (("rain", "wind", "a bell"), "A dog barks", None),
        (("rain", "wind", "a bell"), "(B) because A is wrong", "B"),
        (("rain", "rain", "wind"), "rain", None),
        (("rain", "rain", "wind"), "(B)", "B"),
        (("rain", "", "wind"), "B", "B"),
        (("rain", "", "wind"), "wind", "C"),
        (("rain", "wind"), "C", None),
    ],
)
def test_options_of_a_dataset_may_be_equal_or_empty(options, answer, read) -> None:
    assert CHOICE.read(Item("", options, "A"), answer) == read


@given(st.text())
def test_whatever_is_written_is_read_or_not_and_never_an_error(answer) -> None:
    assert parse_yes_no(answer) in {"yes", "no", None}
    assert parse_label(answer, EMOTIONS) in {*EMOTIONS, None}
    parse_number(answer)
    short_answer(answer)


@given(st.integers(0, 9999))
def test_digits_are_read_as_themselves(number) -> None:
    assert parse_number(str(number)) == number
    assert parse_number(f"{number:,}") == number
