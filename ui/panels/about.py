"""What a question is about: the controls that panels about one clip have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from ui.examples import examples
from ui.page import QUIET


@contextmanager
def clip_and_question(panel: str) -> Iterator[tuple[gr.Audio, gr.Textbox]]:
    """A clip, and beside it a question with examples that fill in both; what is made inside stands below the question.

    Args:
        panel: its name, with which the elements' ids begin.
    """
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            label = "Clip (none: the last one from Ask)"
            clip = gr.Audio(label=label, type="filepath", buttons=[], elem_id=f"{panel}-clip")
        with gr.Column(scale=1, min_width=300):
            with gr.Row(elem_classes="examples"):
                buttons = [(gr.Button(each.title, size="sm", elem_classes="example"), each) for each in examples()]
            question = gr.Textbox(label="Question", value="describe the audio", elem_id=f"{panel}-question")
            yield clip, question
    for button, example in buttons:
        button.click(lambda e=example: (str(e.path), e.question), None, [clip, question], **QUIET)
