"""The form that starts a training or a sweep: fields from the configuration's own schema, the rest as YAML."""

from __future__ import annotations

import uuid
from typing import Any

import gradio as gr
import yaml

from coat_ray.client import PlatformError
from ui import sentences
from ui.forms import COMMON, Field, fields, filled, without
from ui.page import QUIET, Page, good, told

ROUTES = {"run": "/runs", "sweep": "/sweeps"}


def starting(page: Page, tab: gr.Tab, note: gr.HTML) -> None:
    """Lay the form out below the runs."""
    with gr.Accordion("Start a training or a sweep", open=False, elem_id="start"):
        with gr.Row():
            begin = gr.Dropdown([], label="Begin with", elem_id="start-from", info="a configuration that ships")
            team = gr.Textbox(label="Team", visible=False, info="an owner says in which one", elem_id="start-team")
        about = gr.HTML(elem_classes="plain")

        @gr.render(inputs=begin, triggers=[begin.change], show_progress="hidden")
        def form(name: str | None, request: gr.Request) -> None:
            if name:
                _form(page, name, request, team, note)

    def listed(current: str | None, request: gr.Request) -> Any:
        session = page.session(request)
        if current or session.role == "viewer":
            return gr.skip(), gr.skip(), gr.skip()
        try:
            shipped = session.client.get("/configs")["data"]
        except PlatformError as error:
            return gr.skip(), gr.skip(), told(sentences.about_platform(error))
        names = [(f"{each['kind']}: {each['name']}", f"{each['kind']}/{each['name']}") for each in shipped]
        return gr.update(choices=names, value="run/embedded"), gr.update(visible=session.tenant is None), ""

    tab.select(listed, begin, [begin, team, about], **QUIET)


def _form(page: Page, name: str, request: gr.Request, team: gr.Textbox, note: gr.HTML) -> None:
    client = page.session(request).client
    kind, _, short = name.partition("/")
    shipped = next(each for each in client.get("/configs")["data"] if (each["kind"], each["name"]) == (kind, short))
    found = fields(kind, client.get(f"/configs/schema/{kind}"), shipped["config"])
    gr.HTML(f'<p class="facts">{shipped["about"]}</p>', elem_classes="plain")
    with gr.Row(elem_classes="form"):
        inputs = [_component(field) for field in found]
    with gr.Accordion("Everything else, as YAML", open=False):
        rest = gr.Code(
            yaml.safe_dump(without(shipped["config"], COMMON[kind]), sort_keys=False), language="yaml",
            show_label=False, max_lines=24, elem_id="start-yaml", interactive=True,
        )  # fmt: skip
    start = gr.Button("Start", variant="primary", elem_id="start-run")

    def submitted(request: gr.Request, whose: str, text: str, *values: Any) -> str:
        session = page.session(request)
        try:
            rest_of_it = yaml.safe_load(text) or {}
            config = filled(rest_of_it, dict(zip((field.path for field in found), values, strict=True)))
            query = f"?tenant={whose.strip()}" if session.tenant is None and whose.strip() else ""
            run = session.client.post(f"{ROUTES[kind]}{query}", {"config": config}, idempotency_key=str(uuid.uuid4()))
        except (yaml.YAMLError, AttributeError, IndexError, ValueError, TypeError) as error:
            return told(f"The YAML cannot be used: {str(error).splitlines()[0]}.")
        except PlatformError as error:
            return told(sentences.about_platform(error))
        return good(f"{run['name']} is {run['state']}, as {run['id']}.")

    start.click(submitted, [team, rest, *inputs], note, **QUIET)


def _component(field: Field) -> Any:
    shared: dict[str, Any] = {"label": field.label, "info": field.about or None, "min_width": 210, "interactive": True}
    shared["elem_id"] = f"start-{field.path.replace('.', '-').replace('_', '-')}"
    if field.kind == "switch":
        return gr.Checkbox(bool(field.value), **shared)
    if field.kind == "choices":
        return gr.CheckboxGroup(list(field.choices), value=list(field.value or ()), **shared)
    if field.kind == "choice":
        return gr.Dropdown(list(field.choices), value=field.value, **shared)
    if field.kind in ("integer", "number"):
        precision = 0 if field.kind == "integer" else None
        return gr.Number(field.value, precision=precision, minimum=field.minimum, maximum=field.maximum, **shared)
    return gr.Textbox(field.value, **shared)
