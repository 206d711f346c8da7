"""The panel Ask: one answer at a time comes in a tab."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from ui.models import Answer
from ui.page import Page
from ui.panels.ask import IDLE, _Asking
from ui.sessions import COOKIE, Session


class Endless:
    """Models that answer for ever; ``open`` counts the requests that nobody has closed."""

    def __init__(self):
        self.open = 0

    async def ask(self, key, asked):
        self.open += 1
        answer = Answer()
        try:
            while True:
                answer.text += "a"
                yield answer
                await asyncio.sleep(0.01)
        finally:
            self.open -= 1


@pytest.mark.parametrize("way", ["retry", "another question"])
def test_an_answer_that_still_comes_ends_when_the_next_begins(way):
    models = Endless()
    page = Page("http://127.0.0.1:9", models)
    token = page.sessions.begin(Session("coat_x", {"role": "member", "tenant": "speech"}, client=None))
    page.sessions.claim("tab", token)
    request = SimpleNamespace(cookies={COOKIE: token}, session_hash="tab")

    async def walk():
        asking = _Asking(page)
        first = asking.begin(request, "what?", None, "base", "block")
        await anext(first), await anext(first)
        again = way == "retry"
        then = asking.again if again else asking.begin
        second = then(request, *([] if again else ["and now?", None]), "base", "block")
        await anext(second), await anext(second)
        assert [update async for update in first] == []
        assert models.open == 1
        await asking.stop(request)
        *_, last = [update async for update in second]
        assert last[-2:] == IDLE
        assert models.open == 0

    asyncio.run(asyncio.wait_for(walk(), 20))
