"""What is shown is final: whole characters, nothing of a stop string, and in the end exactly what was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.inference.text import UNFINISHED, StopScanner, TokenText


@pytest.mark.parametrize("text", ["a dog barks", "日本語 und 😀 naïve", "👩‍👩‍👧 é", "  spaces  \n"])
def test_pieces_are_whole_characters_and_make_up_the_text(base, text):
    tokenizer = base.front.tokenizer
    ids = tokenizer.encode(text, add_special_tokens=False)
    shown = TokenText(tokenizer)
    pieces = [shown.push(token) for token in ids]
    assert UNFINISHED not in "".join(pieces)
    assert "".join(pieces) + shown.finish() == text


def test_a_character_that_never_became_whole_is_not_shown(base):
    tokenizer = base.front.tokenizer
    ids = tokenizer.encode("ok 😀", add_special_tokens=False)[:-1]
    shown = TokenText(tokenizer)
    assert "".join(map(shown.push, ids)) + shown.finish() == "ok "


def test_bytes_that_are_no_text_do_not_hold_back_what_follows(base):
    tokenizer = base.front.tokenizer
    broken = tokenizer.encode("😀", add_special_tokens=False)[:1]
    ids = [*broken, *tokenizer.encode("dog barks", add_special_tokens=False)]
    shown = TokenText(tokenizer)
    assert "".join(map(shown.push, ids)) + shown.finish() == f"{UNFINISHED}dog barks"


def test_special_tokens_are_not_shown(base):
    shown = TokenText(base.front.tokenizer)
    ids = [*base.front.tokenizer.encode("dog", add_special_tokens=False), base.front.end_of_turn_id]
    assert "".join(map(shown.push, ids)) + shown.finish() == "dog"


@given(
    pieces=st.lists(st.text("ab\n", max_size=4), max_size=12),
    stops=st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3),
)
def test_a_text_ends_before_its_first_stop_string_however_it_is_cut_into_pieces(pieces, stops):
    scanner, text = StopScanner(stops), "".join(pieces)
    shown = "".join(map(scanner.push, pieces))
    shown = shown if scanner.stopped else shown + scanner.finish()
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert scanner.stopped == any(stop in text for stop in stops)
    assert scanner.stopped or shown == text
    if scanner.stopped and len({len(stop) for stop in stops}) == 1:  # else a longer one may begin before
        assert shown == text[: min(text.find(stop) for stop in stops if stop in text)]


def test_the_beginning_of_a_stop_string_is_shown_when_it_turns_out_to_be_none():
    scanner = StopScanner(["END."])
    assert scanner.push("the EN") == "the "
    assert scanner.push("D") == ""
    assert scanner.push(" of it E") == "END of it "
    assert scanner.finish() == "E"
    assert not scanner.stopped
