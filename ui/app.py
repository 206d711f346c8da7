"""Put the page into an application: its door, its panels, and what stands in front of them."""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "0")  # read when Gradio is imported

import gradio as gr
from fastapi import FastAPI

from ui import door, examples, look
from ui.gate import Gate
from ui.models import Models
from ui.page import PREFIX, QUIET, Page
from ui.panels.ask import ask_panel
from ui.panels.cluster import cluster_panel
from ui.panels.compare import compare_panel
from ui.panels.experiments import experiments_panel
from ui.panels.inside import inside_panel

MOST_FILE = "32mb"
FORGET_S = 3600
"""Uploaded files are removed from disk after so long."""

LOOK_EVERY_S = 0.01
"""For what visitors have asked."""

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
        head=look.head(),
    )
    app.add_middleware(Gate, prefix=prefix, sessions=page.sessions, public=[examples.FOLDER])
    return app


def build_page(page: Page) -> gr.Blocks:
    """The panels, one tab each."""
    with gr.Blocks(title="coat_ray", analytics_enabled=False, delete_cache=(FORGET_S, FORGET_S)) as blocks:
        who = gr.HTML(elem_id="bar")
        with gr.Tabs(elem_id="panels"):
            with gr.Tab("Ask") as ask:
                ask_panel(page, blocks, ask)
            with gr.Tab("Inside the block") as inside:
                inside_panel(page, blocks, inside)
            with gr.Tab("Compare") as compare:
                compare_panel(page, blocks, compare)
            with gr.Tab("Experiments") as experiments:
                follows = experiments_panel(page, experiments)
            with gr.Tab("Cluster", visible=False) as cluster:
                watches = cluster_panel(page, blocks, cluster)
        for tab in (ask, inside, compare, experiments, cluster):
            _only_while_open(tab, {experiments: follows, cluster: watches})

        def greet(request: gr.Request) -> str:
            session = page.session(request)
            return look.bar(session.tenant, session.role, PREFIX)

        blocks.load(greet, None, who, **QUIET)
    blocks.queue(default_concurrency_limit=None, max_size=QUEUE)
    blocks._queue.sleep_when_free = LOOK_EVERY_S  # noqa: SLF001 - its own millisecond takes 5 % of a core all day
    return blocks


def _only_while_open(tab: gr.Tab, beats: dict[gr.Tab, gr.Timer]) -> None:
    """A panel that is not looked at asks the platform nothing."""
    running = [beat_tab is tab for beat_tab in beats]
    tab.select(lambda: [gr.Timer(active=active) for active in running], None, list(beats.values()), **QUIET)
