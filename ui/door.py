"""The routes beside Gradio's own: signing in and out, and what belongs to one visitor."""

from __future__ import annotations

import html
import json
from string import Template
from urllib.parse import urlsplit

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.datastructures import Headers

from coat_ray.client import PlatformError
from ui import sentences
from ui.gate import token_of
from ui.look import STATIC
from ui.page import Page
from ui.sessions import COOKIE, IDLE_S, Session

MOST_FORM = 4096
UNKNOWN = "This key is not accepted. Check that you copied all of it, or ask your team's admin for another."
TOO_OFTEN = "The platform has been asked too often. Your key may be right: try again in a minute."


def routes(page: Page, prefix: str) -> APIRouter:
    """The door of *page*, and its visitors' own clips and exports."""
    router = APIRouter(prefix=prefix, include_in_schema=False)

    @router.get("/door")
    def door() -> HTMLResponse:
        """Where a visitor signs in."""
        return _door(prefix)

    @router.post("/door")
    async def sign_in(request: Request) -> Response:
        """Check a key and begin a session."""
        if not _same_origin(request):
            return _door(prefix, "Sign in on this page itself.", 403)
        key = await _key_in(request)
        try:
            session = await to_thread.run_sync(_session, page, key)
        except PlatformError as error:
            return _not_let_in(prefix, error)
        answer = RedirectResponse(f"{prefix}/", 303)
        secure = (request.headers.get("x-forwarded-proto") or request.url.scheme) == "https"
        answer.set_cookie(
            COOKIE,
            page.sessions.begin(session),
            max_age=IDLE_S,
            path=prefix,
            secure=secure,
            httponly=True,
            samesite="strict",
        )
        return answer

    @router.post("/leave")
    def sign_out(request: Request) -> Response:
        """End the session; what was kept for it is gone."""
        page.sessions.end(token_of(request.headers))
        answer = RedirectResponse(f"{prefix}/door", 303)
        answer.delete_cookie(COOKIE, path=prefix)
        return answer

    @router.get("/style.css")
    def style() -> FileResponse:
        """Of the door."""
        return FileResponse(STATIC / "door.css", media_type="text/css")

    @router.get("/clips/{clip_id}")
    def clip(clip_id: str, request: Request) -> Response:
        """A clip of this visitor, as WAV."""
        session = _of(page, request.headers)
        found = session.clips.get(clip_id) if session else None
        if found is None:
            return JSONResponse({"detail": "there is no such clip"}, 404)
        return _ranged(found.wav, request.headers.get("range", ""))

    @router.get("/export/{tab}")
    def export(tab: str, request: Request) -> Response:
        """What was last read in a block in a tab of this visitor, as JSON."""
        session = _of(page, request.headers)
        found = session.readings.get(tab) if session else None
        if found is None:
            return JSONResponse({"detail": "nothing has been read in this tab yet"}, 404)
        headers = {"Content-Disposition": 'attachment; filename="thinking-block.json"'}
        return Response(json.dumps(found, indent=1), media_type="application/json", headers=headers)

    return router


def _door(prefix: str, problem: str = "", status: int = 200) -> HTMLResponse:
    shown = f'<p class="problem" role="alert">{html.escape(problem)}</p>' if problem else ""
    text = Template((STATIC / "door.html").read_text()).substitute(prefix=prefix, problem=shown)
    return HTMLResponse(text, status)


def _not_let_in(prefix: str, error: PlatformError) -> HTMLResponse:
    """The door again: 401 where the key was refused, 503 where nobody could say whether it is right."""
    if error.status in (401, 403) or (error.status is None and not error.__cause__):
        return _door(prefix, UNKNOWN, 401)
    return _door(prefix, TOO_OFTEN if error.status == 429 else sentences.NO_PLATFORM, 503)


def _session(page: Page, key: str) -> Session:
    client = page.client(key)
    return Session(key, client.get("/me"), client)


async def _key_in(request: Request) -> str:
    if int(request.headers.get("content-length") or MOST_FORM + 1) > MOST_FORM:
        return "-"
    return str((await request.form()).get("key", "")).strip() or "-"


def _same_origin(request: Request) -> bool:
    """Whether a form was sent from here; browsers say where from."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _of(page: Page, headers: Headers) -> Session | None:
    return page.sessions.find(token_of(headers))


def _ranged(data: bytes, wanted: str) -> Response:
    """A file in memory, whole or the part that a player asks for."""
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=3600"}
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    if not wanted.startswith("bytes=") or not first.isdecimal() or int(first) >= len(data):
        return Response(data, media_type="audio/wav", headers=headers)
    end = min(int(last), len(data) - 1) if last.isdecimal() else len(data) - 1
    headers["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
    return Response(data[int(first) : end + 1], 206, headers, "audio/wav")
