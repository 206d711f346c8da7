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
    )


def css() -> str:
    """The style sheet of what stands inside Gradio."""
    return (STATIC / "page.css").read_text()


def head() -> str:
    """The scripts of the page, as part of it."""
    return f"<script>{(STATIC / 'page.js').read_text()}</script>"


def bar(tenant: str | None, role: str, prefix: str) -> str:
    """The line on top: what this is, who is signed in, and the way out."""
    who = f"{escape(tenant)} · {escape(role)}" if tenant else "owner of the platform"
    return (
        '<div class="bar"><span class="mark">coat_ray</span><span class="claim">what a model hears before it answers</span>'
        f'<span class="who">{who}</span>'
        '<button type="button" class="quiet" onclick="coatTheme()" aria-label="switch between light and dark">◐</button>'
        f'<form method="post" action="{prefix}/leave"><button class="quiet" type="submit">Sign out</button></form></div>'
    )
