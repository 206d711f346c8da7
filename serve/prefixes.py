"""Applications of Ray Serve that name whole paths, wherever Serve puts them."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class WholePaths:
    """ASGI middleware: Serve's router says which part of a path is an application's prefix; ours has it in its routes.

    So an application is the same in one process, under a test and on Ray Serve.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, without the word about a prefix."""
        if scope["type"] in ("http", "websocket"):
            scope = {**scope, "root_path": ""}
        await self._app(scope, receive, send)
