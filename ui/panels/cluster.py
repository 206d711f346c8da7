"""Cluster: shares, limits, the queue and usage over time, of all teams for an owner and of one's own for its admins."""

from __future__ import annotations

from typing import Any

import gradio as gr

from coat_ray.client import PlatformError, part
from ui import sentences
from ui.page import QUIET, Page, told
from ui.plots.usage import months, queue, teams
from ui.sessions import Session

EVERY_S = 5.0


def cluster_panel(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> gr.Timer:
    """Lay the panel out and wire it; gives what keeps it current."""
    beat = gr.Timer(EVERY_S, active=False)
    gr.Markdown("### Teams\nWhat each may have, beside what it holds now. A share counts when the cluster is full.")
    shares = gr.HTML(elem_id="cluster-teams", elem_classes="plain")
    gr.Markdown("### Queue")
    waiting = gr.HTML(elem_id="cluster-queue", elem_classes="plain")
    gr.Markdown("### Usage by month")
    drawn = gr.Plot(show_label=False, container=False, visible=False, elem_id="cluster-usage")

    def look(request: gr.Request) -> Any:
        session = page.session(request)
        try:
            used = months(session.client.get("/usage", by=["tenant", "month"])["data"])
            runs = session.client.get("/runs", limit=200)["data"]
            return teams(_teams(session)), queue(runs), gr.update(value=used, visible=used is not None)
        except PlatformError as error:
            return told(sentences.about_platform(error)), gr.skip(), gr.skip()

    gr.on([tab.select, beat.tick], look, None, [shares, waiting, drawn], **QUIET)

    def may_see(request: gr.Request) -> Any:
        return gr.update(visible=page.session(request).role in ("admin", "owner"))

    blocks.load(may_see, None, tab, **QUIET)
    return beat


def _teams(session: Session) -> list[dict[str, Any]]:
    """Every team that the visitor may see; what is held now is known of one's own."""
    client, me = session.client, session.client.get("/me")
    return [
        {
            "name": tenant["name"],
            "closed": tenant["closed_at"] is not None,
            "quota": client.get(f"/tenants/{part(tenant['name'])}/quota"),
            "used": me["used"] if tenant["name"] == me["tenant"] else None,
        }
        for tenant in client.get("/tenants")["data"]
    ]
