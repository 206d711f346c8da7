"""Experiments: the team's runs and sweeps as they go, what came out of them, and a form that starts another."""

from __future__ import annotations

from typing import Any

import gradio as gr
import yaml

from coat_ray.client import PlatformError, part
from ui import sentences
from ui.page import QUIET, Page, good, told
from ui.panels.starting import starting
from ui.plots.curves import curves
from ui.plots.runs import ENDED, facts, label, scores
from ui.sessions import Session

EVERY_S = 3.0
MOST_RUNS = 50


def experiments_panel(page: Page, tab: gr.Tab) -> gr.Timer:
    """Lay the panel out and wire it; gives what keeps it current."""
    beat = gr.Timer(EVERY_S, active=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            chosen = gr.Radio([], label="Runs and sweeps, newest first", elem_id="runs-list")
            nothing = gr.HTML(elem_classes="plain")
        with gr.Column(scale=3, min_width=320):
            about = gr.HTML(elem_id="run-facts", elem_classes="plain")
            with gr.Row(elem_classes="small-row"):
                stop = gr.Button("Stop this run", size="sm", variant="stop", visible=False, elem_id="run-stop")
            drawn = gr.Plot(show_label=False, container=False, visible=False, elem_id="run-curves")
            made = gr.HTML(elem_id="run-models", elem_classes="plain")
            with gr.Row(visible=False, equal_height=True) as promoting:
                model = gr.Dropdown([], label="Model", scale=3, min_width=240, elem_id="promote-model")
                alias = gr.Textbox("best", label="Alias", max_length=63, scale=2, min_width=90, elem_id="promote-alias")
                promote = gr.Button("Promote", variant="primary", scale=1, min_width=90, elem_id="promote")
            with gr.Accordion("Configuration", open=False, visible=False) as opened:
                config = gr.Code(language="yaml", show_label=False, max_lines=24)
    note = gr.HTML(elem_id="experiments-note", elem_classes="plain")
    shown = [chosen, nothing, about, stop, drawn, made, promoting, model, opened, config]

    def look(current: str | None, request: gr.Request) -> Any:
        session = page.session(request)
        try:
            return _panel(session, current)
        except PlatformError as error:
            return [gr.skip(), told(sentences.about_platform(error)), *[gr.skip()] * (len(shown) - 2)]

    def ended(current: str | None, request: gr.Request) -> str:
        if not current:
            return told("Choose a run first.")
        try:
            state = page.session(request).client.post(f"/runs/{part(current)}/stop")["state"]
        except PlatformError as error:
            return told(sentences.about_platform(error))
        return good("It is stopped." if state == "stopped" else "It writes a checkpoint and stops.")

    def promoted(ref: str | None, name: str, request: gr.Request) -> str:
        if not ref or not (name or "").strip():
            return told("Choose a model, and say which alias it gets.")
        try:
            page.session(request).client.post(f"/models/{ref}/alias", {"alias": name.strip()})
        except PlatformError as error:
            return told(sentences.about_platform(error))
        tenant, _, version = ref.partition("/")
        asked = f"base:{tenant}/{version.partition('@')[0]}@{name.strip()}"
        return good(f"{ref} is {name.strip()} now. Ask lists it as {asked}.")

    gr.on([tab.select, beat.tick, chosen.input], look, chosen, shown, **QUIET)
    stop.click(ended, chosen, note, **QUIET).then(look, chosen, shown, **QUIET)
    promote.click(promoted, [model, alias], note, **QUIET).then(look, chosen, shown, **QUIET)
    starting(page, tab, note)
    return beat


def _panel(session: Session, current: str | None) -> list[Any]:
    runs = session.client.get("/runs", limit=MOST_RUNS)["data"]
    names = [run["id"] for run in runs]
    current = current if current in names else (names[0] if names else None)
    choices = gr.update(choices=[(label(run), run["id"]) for run in runs], value=current)
    if current is None:
        hint = '<p class="facts">No runs yet. Start one below: the embedded corpus and models need no GPU.</p>'
        closed = gr.update(visible=False)
        return [choices, hint, "", closed, closed, "", closed, gr.skip(), closed, gr.skip()]
    return [choices, "", *_run(session, next(run for run in runs if run["id"] == current))]


def _run(session: Session, run: dict[str, Any]) -> list[Any]:
    client, path = session.client, f"/runs/{part(run['id'])}"
    used: dict[str, Any] = next(
        (line for line in client.get("/usage", by=["run"])["data"] if line["run"] == run["id"]), {}
    )
    about = facts(run, used, client.get(f"{path}/arms")["data"])
    drawn = curves(client.get(f"{path}/metrics")["data"])
    names = [str(name) for name in (run["result"] or {}).get("models", ())]
    listed = client.get("/models")["data"] if names else []
    models = [m for m in listed if m["tenant"] == run["tenant"] and m["model"].partition("/")[2] in names]
    refs = [model["model"] for model in models]
    live = run["state"] not in ENDED and session.role != "viewer"
    report = ""
    if run["kind"] == "sweep" and run["state"] == "done":
        report = '<p class="facts">Its report: <code>coat runs report ' + run["id"] + "</code></p>"
    return [
        about + report,
        gr.update(visible=live),
        gr.update(value=drawn, visible=drawn is not None) if drawn else gr.update(visible=False),
        scores(models),
        gr.update(visible=bool(refs) and session.role != "viewer"),
        gr.update(choices=refs, value=refs[-1] if refs else None),
        gr.update(visible=True),
        yaml.safe_dump(run["config"], sort_keys=False, allow_unicode=True),
    ]
