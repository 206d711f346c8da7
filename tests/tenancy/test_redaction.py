"""No secret survives in what is recorded."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coat_ray.tenancy.redaction import HIDDEN, redact, redact_text

KEY = st.from_regex(r"coat_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", fullmatch=True)
TEXT = st.text("ab: _@/\u00e9", max_size=8)


def _nested(leaf):
    inner = st.lists(leaf, max_size=2) | st.dictionaries(TEXT, leaf, max_size=2) | leaf
    return st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2)


@settings(deadline=None)
@given(KEY, TEXT, TEXT, st.data())
def test_no_key_survives_wherever_it_is(key, before, after, data):
    inside = data.draw(_nested(st.sampled_from([key, f"{before} {key} {after}", ""])))
    whole = {"inside": inside, f"{before}{key}{after}": 1, "text": f"{before}{key}{after}"}
    assert key not in json.dumps(redact(whole), ensure_ascii=False)


@settings(deadline=None)
@given(_nested(st.none() | st.booleans() | st.integers() | TEXT))
def test_what_is_no_secret_stays(data):
    assert redact({"data": data}) == {"data": data}


@pytest.mark.parametrize(
    "name", ["password", "secret", "Authorization", "api_key", "client_secret", "hf-token", "tokens"]
)
def test_what_a_telling_name_stands_for_is_hidden(name):
    assert redact({name: "hush", "inner": [{name: ["hush"]}]}) == {name: HIDDEN, "inner": [{name: HIDDEN}]}


@pytest.mark.parametrize(
    "detail", [{"max_tokens": 512}, {"key_id": "ab12cd34"}, {"idempotency_key": "k"}, {"token": None}]
)
def test_settings_that_only_sound_alike_stay(detail):
    assert redact(detail) == detail


def test_passwords_in_urls_and_headers_are_hidden():
    text = redact_text("postgresql://coat:hush@db/coat said no to 'Authorization: Bearer hush'")
    assert "hush" not in text
    assert text.startswith("postgresql://coat:[hidden]@db/coat said no")


def test_a_hidden_key_still_says_which_it_was():
    assert redact_text("coat_ab12cd34_" + "x" * 43) == f"coat_ab12cd34_{HIDDEN}"
