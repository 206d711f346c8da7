"""Put the page into an application: its door, its panels, and what stands in front of them."""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "0")  # read when Gradio is imported

import gradio as gr
from fastapi import FastAPI

from ui import door, examples, look
from ui.gate import Gate
from ui.models import Models
from ui.page import PREFIX, Page
from ui.panels.ask import ask_panel

MOST_FILE = "32mb"
FORGET_S = 3600
"""Uploaded files are removed from disk after so long."""

QUEUE = 200
"""Events that may wait; as many as are in it run at once, because each mostly waits for an answer."""


def mount(app: FastAPI, url: str, models_url: str | None = None, prefix: str = PREFIX) -> FastAPI:
    """Put the page at *prefix* of an application.

    Args:
        app: whose other paths stay as they are. Its own middleware sees the page's requests too.
        url: the platform's address, as this process reaches it.
        models_url: that of the models where they are elsewhere.
        prefix: the page's path.
    """
    page = Page(url, Models(models_url or url))
    gr.set_static_paths([examples.FOLDER])
    app.include_router(door.routes(page, prefix))
    gr.mount_gradio_app(
        app,
        build_page(page),
        prefix,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=MOST_FILE,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=look.theme(),
        css=look.css(),
        head=look.head(),
    )
    app.add_middleware(Gate, prefix=prefix, sessions=page.sessions, public=[examples.FOLDER])
    return app


def build_page(page: Page) -> gr.Blocks:
    """The panels, one tab each."""
    with gr.Blocks(title="coat_ray", analytics_enabled=False, delete_cache=(FORGET_S, FORGET_S)) as blocks:
        who = gr.HTML(elem_id="bar")
        with gr.Tabs(elem_id="panels"), gr.Tab("Ask", id="ask"):
            ask_panel(page, blocks)

        def greet(request: gr.Request) -> str:
            session = page.session(request)
            return look.bar(session.tenant, session.role, PREFIX)

        blocks.load(greet, outputs=who, show_progress="hidden", api_visibility="private")
    blocks.queue(default_concurrency_limit=None, max_size=QUEUE)
    return blocks
