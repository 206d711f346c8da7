"""What stands in front of the page: nobody without a session gets past the door, and nobody near another's files.

Gradio serves whatever lies in its cache to whoever names it, and tells every event of a tab to whoever names the tab.
Here a file belongs to the visitor who uploaded it, a tab to the one who named it first, and routes that the page does
not use are closed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.sessions import COOKIE, Session, Sessions

OPEN = frozenset({"/door", "/style.css"})
"""What those see who are not signed in."""

PUBLIC = re.compile(
    r"/($|config$|theme\.css$|manifest\.json$|favicon\.ico$|assets/|static/|svelte/|clips/|export/|leave$)"
)
API = re.compile(
    r"/gradio_api/(queue/join|queue/data|upload|upload_progress|heartbeat/[^/]+|cancel|reset|startup-events|file=.+)/?$"
)
"""The routes of Gradio that the page uses."""

MOST_BODY = 4 * 2**20
"""Of an event; uploads have the bound that Gradio was given."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'; object-src 'none'"
)
"""Nothing comes from anywhere else. Gradio's front end needs inline scripts and styles."""


class Gate:
    """ASGI middleware for everything under *prefix*; other paths pass as they are.

    Args:
        app: what is behind it.
        prefix: where the page is, such as ``/ui``.
        sessions: who is signed in.
        public: folders whose files every visitor may have.
    """

    def __init__(self, app: ASGIApp, prefix: str, sessions: Sessions, public: Iterable[Path] = ()) -> None:
        self._app, self._prefix, self._sessions = app, prefix, sessions
        self._public = [folder.resolve() for folder in public]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        path = scope.get("path", "")
        inside = path == self._prefix or path.startswith(f"{self._prefix}/")
        if scope["type"] not in ("http", "websocket") or not inside:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        local = path.removeprefix(self._prefix)
        token = token_of(Headers(scope=scope))
        session = self._sessions.find(token)
        if local in OPEN:
            await self._app(scope, receive, _guarded(send))
        elif session is None or token is None:
            await self._turned_away(local)(scope, receive, send)
        elif local == "":
            await RedirectResponse(f"{self._prefix}/", 307)(scope, receive, send)
        elif (refused := self._refused(scope, local, session, token)) is not None:
            await refused(scope, receive, send)
        elif local.startswith("/gradio_api/upload") and scope["method"] == "POST":
            await self._app(scope, receive, _Uploaded(session, _guarded(send)))
        elif scope["method"] == "POST" and local.startswith("/gradio_api/"):
            await self._event(scope, receive, send, token)
        else:
            await self._app(scope, receive, _guarded(send))

    def _turned_away(self, local: str) -> Response:
        if local in ("", "/"):
            return RedirectResponse(f"{self._prefix}/door", 303)
        return JSONResponse({"detail": "sign in first"}, 401)

    def _refused(self, scope: Scope, local: str, session: Session, token: str) -> Response | None:
        """The answer to a request that is nobody's business, None where there is nothing against it."""
        if not (PUBLIC.match(local) or API.match(local)):
            return JSONResponse({"detail": "there is no such thing here"}, 404)
        if "file=" in local and not self._may_have(local.partition("file=")[2], session):
            return JSONResponse({"detail": "there is no such file"}, 404)
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        tabs = query.get("session_hash", [])
        if local.startswith("/gradio_api/heartbeat/"):
            tabs = [*tabs, local.rpartition("/")[2]]
        if not all(self._sessions.claim(tab, token) for tab in tabs):
            return JSONResponse({"detail": "that tab is not yours"}, 403)
        return None

    def _may_have(self, name: str, session: Session) -> bool:
        """Whether a file is this visitor's or everybody's; *name* as Gradio opens it, decoded once and no more."""
        if name in session.files:
            return True
        path = Path(name)
        return path.is_absolute() and any(path.resolve().is_relative_to(folder) for folder in self._public)

    async def _event(self, scope: Scope, receive: Receive, send: Send, token: str) -> None:
        """An event of a tab, whose name stands in its body."""
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > MOST_BODY:
                await JSONResponse({"detail": "this event is too large"}, 413)(scope, receive, send)
                return
            if not message.get("more_body"):
                break
        tab = _tab_in(body)
        if tab is None or not self._sessions.claim(tab, token):
            await JSONResponse({"detail": "that tab is not yours"}, 403)(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def received() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, received, _guarded(send))


class _Uploaded:
    """Reads in the answer to an upload where the files lie now."""

    def __init__(self, session: Session, send: Send) -> None:
        self._session, self._send, self._body = session, send, b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                for path in _paths_in(self._body):
                    self._session.own(path)
        await self._send(message)


def token_of(headers: Headers) -> str | None:
    """The session's token in the cookie."""
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except Exception:  # noqa: BLE001 - whatever a browser sent, it is no session
        return None
    return cookies[COOKIE].value if COOKIE in cookies else None


def _guarded(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = POLICY
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
        await send(message)

    return sent


def _tab_in(body: bytes) -> str | None:
    try:
        tab = json.loads(body)["session_hash"]
    except (ValueError, KeyError, TypeError):
        return None
    return tab if isinstance(tab, str) and tab else None


def _paths_in(body: bytes) -> list[str]:
    try:
        found = json.loads(body)
    except ValueError:
        return []
    return [path for path in found if isinstance(path, str)] if isinstance(found, list) else []
