"""Colours, type and the few lines of script of the page. Nothing comes from another address."""

from __future__ import annotations

from html import escape
from pathlib import Path

import gradio as gr

STATIC = Path(__file__).resolve().parent / "static"
SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """Quiet greys and one green, with fonts that the machine has."""
    base = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="stone",
        font=[gr.themes.Font(name) for name in SANS],
        font_mono=[gr.themes.Font(name) for name in MONO],
        radius_size="lg",
    )
    return base.set(
        body_background_fill="#faf9f7",
        body_background_fill_dark="#15171a",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1d2024",
        background_fill_secondary="#f4f2ee",
        background_fill_secondary_dark="#24282d",
        border_color_primary="#e4e0d8",
        border_color_primary_dark="#343a41",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1d2024",
        block_border_width="1px",
        block_label_text_weight="500",
        block_shadow="none",
        input_background_fill="#ffffff",
        input_background_fill_dark="#181b1f",
        body_text_color="#23272b",
        body_text_color_dark="#e7e5e0",
        body_text_color_subdued="#6a6f76",
        body_text_color_subdued_dark="#9aa1a9",
        button_primary_background_fill="#14706a",
        button_primary_background_fill_hover="#0f5a55",
        button_primary_background_fill_dark="#1f8a82",
        button_primary_background_fill_hover_dark="#26a096",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="#f4f2ee",
        button_secondary_background_fill_dark="#1d2024",
        button_secondary_background_fill_hover_dark="#24282d",
        button_secondary_border_color="#e4e0d8",
        button_secondary_border_color_dark="#343a41",
        button_border_width="1px",
        checkbox_label_background_fill="#ffffff",
        checkbox_label_background_fill_hover="#f4f2ee",
        checkbox_label_background_fill_selected="#e8f2f0",
        checkbox_label_background_fill_dark="#1d2024",
        checkbox_label_background_fill_hover_dark="#24282d",
        checkbox_label_background_fill_selected_dark="#1f3a38",
        checkbox_label_border_width="1px",
        checkbox_label_border_color="#e4e0d8",
        checkbox_label_border_color_dark="#343a41",
        input_border_width="1px",
        input_border_color="#e4e0d8",
        input_border_color_dark="#343a41",
    )


def head() -> str:
    """Style sheet and scripts of the page, as they stand. Gradio would rewrite the selectors of a style sheet."""
    style, script = ((STATIC / name).read_text() for name in ("page.css", "page.js"))
    return f"<style>{style}</style><script>{script}</script>"


def bar(tenant: str | None, role: str, prefix: str) -> str:
    """The line on top: what this is, who is signed in, and the way out."""
    who = f"{escape(tenant)} · {escape(role)}" if tenant else "owner of the platform"
    claim = '<span class="claim">what a model hears before it answers</span>'
    switch = 'type="button" class="quiet" onclick="coatTheme()" aria-label="switch between light and dark"'
    turn = f"<button {switch}>◐</button>"
    leave = f'<form method="post" action="{prefix}/leave"><button class="quiet" type="submit">Sign out</button></form>'
    return (
        f'<div class="bar"><span class="mark">coat_ray</span>{claim}<span class="who">{who}</span>{turn}{leave}</div>'
    )
