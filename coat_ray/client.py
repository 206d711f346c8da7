"""The one HTTP client of the platform: used by ``coat``, by the page, and by jobs for their leases."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote, urlsplit

import requests
from requests.auth import AuthBase

from coat_ray.storage import home, private_write

PLATFORM, KEY = "COAT_PLATFORM", "COAT_API_KEY"
"""Environment variables: the platform's address, and the caller's key."""

REMEMBERED = "platform.json"
"""In ``$COAT_HOME``, readable by its owner only: address and key of the platform that ``coat`` asks."""

CONNECT_S, ANSWER_S, UPLOAD_S, SILENCE_S = 10, 30, 600, 3600
"""How long to wait for a connection, an answer, the answer to an upload, the next line of a stream."""

AWAY = "; `coat up` starts one of this folder, `coat logout` forgets it, and many commands take --local"
"""What to do where nobody answers."""

PAUSES_S = (0.2, 0.5, 1.0, 2.0)
"""Before the second, third, … attempt."""

LONGEST_WAIT_S = 10
"""A limit that frees within this is waited for; a later one is an error that says when."""

GONE = frozenset({502, 503})
"""Nobody behind the door, for example while the platform starts again."""

PREFIX = "/api/v1"
CHAT = "/v1/chat/completions"


class PlatformError(RuntimeError):
    """The platform refused or could not be reached; the message is a sentence. ``status`` is None without an answer."""

    def __init__(self, message: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


class _Bearer(AuthBase):
    """The key of a session. As its ``auth``, because a header alone would give way to the user's ``.netrc``."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


@dataclass(frozen=True)
class Client:
    """A platform's API, asked with one key.

    Reads, and posts with an idempotency key, are sent again when the connection breaks or nobody is behind the door;
    anything is when a limit frees soon. All raise :class:`PlatformError`.
    """

    url: str
    session: requests.Session

    @classmethod
    def open(cls, url: str, key: str) -> Self:
        """A client for a platform at *url*, such as ``http://127.0.0.1:8000``; an empty *key* for what needs none.

        Raises:
            PlatformError: an address or a key that cannot be one. The key is in no message.
        """
        session = requests.Session()
        if key:
            session.auth = _Bearer(_checked_key(key))
        return cls(_checked_url(url), session)

    @classmethod
    def from_environment(cls, *, with_key: bool = True) -> Self | None:
        """The platform that the environment names, or None without one; *with_key* False: for what needs no key.

        For jobs, which ask for leases: what :func:`remember` left in a folder is not theirs. ``make train`` in a
        repository with a platform beside it stays a local run, and no job on the cluster acts with the key of
        whoever started the platform there.

        Raises:
            PlatformError: an address without a key.
        """
        url, key = os.environ.get(PLATFORM), os.environ.get(KEY)
        if not url:
            return None
        if not key and with_key:
            raise PlatformError(f"{PLATFORM} is set and {KEY} is not: set it to a key of your tenant")
        return cls.open(url, key or "")

    @classmethod
    def configured(cls) -> Self | None:
        """The platform that a person works with: the environment's, else the one that is remembered, else None.

        A remembered key goes to its own platform only, never to an address from the environment; a key from the
        environment may stand for the remembered one.

        Raises:
            PlatformError: an address without a key, or a file that cannot be read.
        """
        if os.environ.get(PLATFORM):
            return cls.from_environment()
        found = _remembered()
        return cls.open(found["url"], os.environ.get(KEY) or found["key"]) if found else None

    @classmethod
    def required(cls) -> Self:
        """The platform that a person works with, for what there is nowhere else.

        Raises:
            PlatformError: none is configured.
        """
        if (client := cls.configured()) is None:
            raise PlatformError("no platform is configured: `coat up` starts one here, `coat login URL` names another")
        return client

    def get(self, path: str, **params: Any) -> Any:
        """Read something; parameters that are None are left out, lists are repeated."""
        return _content(self._send("GET", path, repeatable=True, params=_given(params)))

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Any:
        """Make or change something. With an idempotency key, a request that is sent again does nothing new."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        repeatable = idempotency_key is not None
        return _content(self._send("POST", path, repeatable=repeatable, json=dict(body or {}), headers=headers))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change some fields of something."""
        return _content(self._send("PATCH", path, json=dict(body)))

    def put(self, path: str, data: IO[bytes] | bytes, *, content_type: str = "application/octet-stream") -> Any:
        """Send a file; it is read and sent piece by piece."""
        headers = {"Content-Type": content_type}
        return _content(self._send("PUT", path, data=data, headers=headers, timeout=(CONNECT_S, UPLOAD_S)))

    def chat(self, body: Mapping[str, Any]) -> Any:
        """Ask a hosted model, as OpenAI's ``/v1/chat/completions``; gives the whole answer."""
        return _content(self._send("POST", CHAT, prefix="", json=dict(body), timeout=(CONNECT_S, UPLOAD_S)))

    def delete(self, path: str) -> Any:
        """Remove or end something."""
        return _content(self._send("DELETE", path))

    def stream(self, path: str, **params: Any) -> Iterator[str]:
        """The lines of a text answer as they come, without their ends; closes the connection when it is left."""
        timeout = (CONNECT_S, SILENCE_S)
        with self._send("GET", path, repeatable=True, params=_given(params), stream=True, timeout=timeout) as answer:
            answer.encoding = "utf-8"
            try:
                yield from map(str, answer.iter_lines(decode_unicode=True))
            except requests.RequestException as error:
                raise PlatformError(f"the answer of the platform at {self.url} broke off; ask again") from error

    def _send(
        self, method: str, path: str, *, prefix: str = PREFIX, repeatable: bool = False, **options: Any
    ) -> requests.Response:
        options = {"timeout": (CONNECT_S, ANSWER_S), **options}
        for pause in (*PAUSES_S, None):
            try:
                answer = self.session.request(method, f"{self.url}{prefix}{path}", **options)
            except requests.RequestException as error:
                broken = isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError)
                if pause is None or not repeatable or not broken:
                    told = f"no answer from the platform at {self.url}: {type(error).__name__}"
                    raise PlatformError(f"{told}{AWAY if broken else ''}") from error
                time.sleep(pause)
                continue
            if answer.ok:
                return answer
            problem = PlatformError(_message(answer), answer.status_code, _retry_after_s(answer))
            answer.close()
            worth_it = repeatable if answer.status_code in GONE else answer.status_code == 429 and "data" not in options
            wait = problem.retry_after_s if answer.status_code == 429 else problem.retry_after_s or pause
            if pause is None or wait is None or wait > LONGEST_WAIT_S or not worth_it:
                raise problem
            time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")


def part(name: str) -> str:
    """A name as one part of a path, whatever stands in it."""
    return quote(name, safe="")


def remember(url: str, key: str) -> Path:
    """Keep address and key of a platform for :meth:`Client.configured`, in a file that only this user can read."""
    file = home() / REMEMBERED
    private_write(file, json.dumps({"url": _checked_url(url), "key": _checked_key(key)}) + "\n")
    return file


def forget() -> bool:
    """Remove what :func:`remember` kept; whether there was anything."""
    file = home() / REMEMBERED
    there = file.is_file()
    file.unlink(missing_ok=True)
    return there


def _remembered() -> dict[str, str] | None:
    file = home() / REMEMBERED
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text())
        return {"url": str(found["url"]), "key": str(found["key"])}
    except (ValueError, KeyError, TypeError):  # the text may hold a key
        raise PlatformError(f"{file} is damaged: `coat login URL` writes it again") from None


def _checked_url(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise PlatformError("the address of a platform is http://HOST:PORT or https://HOST, without user and password")
    return url.strip().rstrip("/").removesuffix(PREFIX)


def _checked_key(key: str) -> str:
    if not key or not key.isascii() or not key.isprintable() or " " in key:  # else a header's error would print it
        raise PlatformError("that is no API key: it has blanks or characters that none has; copy it again")
    return key


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _content(answer: requests.Response) -> Any:
    return answer.json() if answer.headers.get("content-type", "").startswith("application/json") else answer.text


def _retry_after_s(answer: requests.Response) -> float | None:
    try:
        return max(0.0, float(answer.headers["retry-after"]))
    except (KeyError, ValueError):  # absent, or a date
        return None


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the platform answered {answer.status_code}"
