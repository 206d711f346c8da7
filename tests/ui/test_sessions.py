"""Sessions: what is kept of a visitor is bounded, and threads may ask at once."""

from __future__ import annotations

import threading

import pytest

from ui.conversation import Turn
from ui.sessions import LONGEST_TAB, MOST_TABS, Session, Sessions

ME = {"role": "member", "tenant": "speech"}


@pytest.fixture
def sessions():
    return Sessions()


def visitor(kind=Session):
    return kind("coat_x", ME, client=None)


def test_of_a_visitors_tabs_those_used_last_are_kept_with_what_was_said_there(sessions):
    one, other = visitor(), visitor()
    token, others = sessions.begin(one), sessions.begin(other)
    for tab in ["first", "second", *map(str, range(MOST_TABS - 2))]:
        assert sessions.claim(tab, token)
        one.conversation(tab).begin(Turn("what?"))
        one.readings[tab] = {}
    asked = one.conversation("second").turns[-1]
    assert sessions.claim("first", token)
    assert sessions.claim("new", token)
    assert len(one.tabs) == MOST_TABS
    assert {"first", "0"} <= one.conversations.keys() & one.readings.keys()
    one.conversation("second").begin(Turn("from an event that came late"))
    assert "second" not in one.conversations.keys() | one.readings.keys()
    assert asked.stopped.is_set()
    assert sessions.claim("second", others)
    assert not sessions.claim("first", others)


def test_a_tab_with_a_long_name_and_one_of_nobody_are_not_kept(sessions):
    token = sessions.begin(visitor())
    assert sessions.claim("x" * LONGEST_TAB, token)
    assert not sessions.claim("x" * (LONGEST_TAB + 1), token)
    assert not sessions.claim("tab", "guessed")
    assert sessions.claim("tab", token)


class Interrupted(Session):
    """A session at whose time another thread signs somebody in, as soon as it may."""

    sessions: Sessions | None = None
    signing: threading.Thread | None = None

    @property
    def seen(self):
        if self.sessions and self.signing is None:
            self.signing = threading.Thread(target=self.sessions.begin, args=(visitor(),))
            self.signing.start()
            self.signing.join(0.2)
        return self._seen

    @seen.setter
    def seen(self, value):
        self._seen = value


def test_somebody_may_sign_in_while_the_idle_are_looked_for(sessions):
    slow = visitor(Interrupted)
    sessions.begin(slow)
    sessions.begin(visitor())
    slow.sessions = sessions
    sessions.begin(visitor())
    slow.signing.join(20)
    assert len(sessions._found) == 4
