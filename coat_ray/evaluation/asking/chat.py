"""Chat completions of an OpenAI-compatible server, asked again where that may help."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from typing import Any

import requests

from coat_ray.evaluation.asking.answers import EvaluationError

log = logging.getLogger(__name__)

PAUSES_S = (0.5, 2.0, 8.0)
"""Before the second, third, … attempt."""

LONGEST_WAIT_S = 30.0
ANSWER_S = 300
_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class ChatEndpoint:
    """One server.

    Args:
        url: base address, such as ``http://127.0.0.1:8001/v1``.
        key: name of the environment variable with the key; what is in it is sent and written nowhere.
        pauses_s: before each further attempt.
    """

    url: str
    key: str
    pauses_s: tuple[float, ...] = PAUSES_S
    _session: requests.Session = field(default_factory=requests.Session, repr=False, compare=False)

    def complete(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Ask for one completion.

        Returns:
            The text, stripped, and the usage.

        Raises:
            EvaluationError: the server cannot be reached, refuses, or sends no completion.
        """
        answer = self._post(body)
        try:
            data = answer.json()
            text = data["choices"][0]["message"]["content"] or ""
            return str(text).strip(), dict(data.get("usage") or {})
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise EvaluationError(f"{self.url} sent no chat completion: {answer.text[:200]}") from None

    def _post(self, body: dict[str, Any]) -> requests.Response:
        key = os.environ.get(self.key)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        address, why = f"{self.url.rstrip('/')}/chat/completions", ""
        for pause in (*self.pauses_s, None):
            wait = pause
            try:
                answer = self._session.post(address, json=body, headers=headers, timeout=ANSWER_S)
            except requests.RequestException as error:
                why = f"cannot reach {address}: {type(error).__name__}"
            else:
                if answer.ok:
                    return answer
                why = f"{address} answered {answer.status_code}: {answer.text[:300]}"
                if answer.status_code not in _AGAIN:
                    break
                wait = _stated_wait(answer, pause)
            if pause is not None and wait is not None:
                log.info("asked again in %.1f s: %s", wait, why)
                time.sleep(wait)
        raise EvaluationError(why)


def _stated_wait(answer: requests.Response, pause: float | None) -> float | None:
    """What ``Retry-After`` asks for, within reason."""
    try:
        return min(float(answer.headers["Retry-After"]), LONGEST_WAIT_S)
    except (KeyError, ValueError):
        return pause
