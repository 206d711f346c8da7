"""The one HTTP client of the platform: used by ``coat``, by the page, and by jobs for their leases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import requests

PLATFORM, KEY = "COAT_PLATFORM", "COAT_API_KEY"
"""Environment variables: the platform's address, and the caller's key."""

TIMEOUT_S = 30
PREFIX = "/api/v1"


class PlatformError(RuntimeError):
    """The platform refused or could not be reached; the message is a sentence. ``status`` is None without an answer."""

    def __init__(self, message: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


@dataclass(frozen=True)
class Client:
    """A platform's API, asked with one key."""

    url: str
    session: requests.Session

    @classmethod
    def open(cls, url: str, key: str) -> Self:
        """A client for a platform at *url*, such as ``http://127.0.0.1:8000``."""
        session = requests.Session()
        if key:
            session.headers["Authorization"] = f"Bearer {key}"
        return cls(url.rstrip("/"), session)

    @classmethod
    def from_environment(cls, *, with_key: bool = True) -> Self | None:
        """The platform that the environment names, or None without one; *with_key* False: for what needs no key.

        Raises:
            PlatformError: an address without a key.
        """
        url, key = os.environ.get(PLATFORM), os.environ.get(KEY)
        if not url:
            return None
        if not key and with_key:
            raise PlatformError(f"{PLATFORM} is set and {KEY} is not: set it to a key of your tenant")
        return cls.open(url, key or "")

    def get(self, path: str, **params: Any) -> Any:
        """Read something."""
        return self._ask("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Any:
        """Make or change something. With an idempotency key, a request that is sent again does nothing new."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._ask("POST", path, json=dict(body or {}), headers=headers)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self._send(method, path, **options)
        return answer.json() if answer.headers.get("content-type", "").startswith("application/json") else answer.text

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            answer = self.session.request(method, f"{self.url}{PREFIX}{path}", timeout=TIMEOUT_S, **options)
        except requests.RequestException as error:
            raise PlatformError(f"no answer from the platform at {self.url}: {type(error).__name__}") from error
        if answer.ok:
            return answer
        wait = answer.headers.get("retry-after")
        raise PlatformError(_message(answer), answer.status_code, float(wait) if wait else None)


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the platform answered {answer.status_code}"
