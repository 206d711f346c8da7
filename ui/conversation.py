"""What was said in one browser tab, and how it is sent to a model and shown."""

from __future__ import annotations

import asyncio
import html
from dataclasses import dataclass, field
from typing import Any

from ui.models import Answer, clip_bytes, clip_part
from ui.sound import Clip

MOST_TURNS = 20
MOST_CLIPS = 8
MOST_CLIP_BYTES = 15 * 2**20
"""Older turns are shown and not sent any more. The API takes so many clips, and 16 MiB with all texts."""


@dataclass
class Turn:
    """A question, the clip that came with it, and the answer.

    ``note``: why there is none, or no whole one. ``stopped``: set by a visitor who has heard enough.
    """

    question: str
    clip: Clip | None = None
    answer: Answer = field(default_factory=Answer)
    note: str = ""
    stopped: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


@dataclass
class Conversation:
    """Turns in order. A turn without a clip of its own is about the one before, whether that was answered or not."""

    turns: list[Turn] = field(default_factory=list)

    @property
    def clip(self) -> Clip | None:
        """The clip that was talked about last."""
        return next((turn.clip for turn in reversed(self.turns) if turn.clip), None)

    def begin(self, turn: Turn) -> None:
        """Add a question; an answer that still comes to the one before ends there."""
        self.stop()
        self.turns.append(turn)

    def again(self) -> None:
        """Put the last question once more; the answer that it had, or that still comes, is gone."""
        self.stop()
        last = self.turns.pop()
        self.turns.append(Turn(last.question, last.clip))

    def stop(self) -> None:
        """End the answer that comes; what came so far stays."""
        if self.turns:
            self.turns[-1].stopped.set()

    def messages(self) -> list[dict[str, Any]]:
        """In OpenAI's shape, up to the last question; turns without an answer are left out.

        Each clip goes with the first turn that is sent about it. Of earlier turns as many are sent as fit.
        """
        found: list[dict[str, Any]] = []
        sent: Clip | None = None
        for turn, clip in self._sent():
            parts = [clip_part(clip.wav)] if clip and clip is not sent else []
            sent = clip
            found.append({"role": "user", "content": [*parts, {"type": "text", "text": turn.question}]})
            if turn is not self.turns[-1]:
                found.append({"role": "assistant", "content": turn.answer.text})
        return found

    def _sent(self) -> list[tuple[Turn, Clip | None]]:
        """The turns that are sent, in order, and the clip that each is about."""
        pairs: list[tuple[Turn, Clip | None]] = []
        for turn in self.turns:
            pairs.append((turn, turn.clip or (pairs[-1][1] if pairs else None)))
        last, *earlier = reversed(pairs)
        found = [last]
        clips = [last[1]] if last[1] else []
        for turn, clip in [pair for pair in earlier if pair[0].answer.text][:MOST_TURNS]:
            if clip and clip is not clips[-1]:
                clips.append(clip)
            if len(clips) > MOST_CLIPS or sum(clip_bytes(each.wav) for each in clips) > MOST_CLIP_BYTES:
                break
            found.append((turn, clip))
        return found[::-1]

    def shown(self, player: Any) -> list[dict[str, Any]]:
        """As Gradio's chatbot shows it; *player* makes the component that plays a clip."""
        found: list[dict[str, Any]] = []
        for turn in self.turns:
            if turn.clip:
                found.append({"role": "user", "content": player(turn.clip)})
            found.append({"role": "user", "content": html.escape(turn.question, quote=False)})
            answer = turn.answer
            if answer.reasoning:
                title = {"title": "Reasoning in text", "status": "done" if answer.text or answer.done else "pending"}
                found.append({"role": "assistant", "content": answer.reasoning, "metadata": title})
            if answer.text or turn.note or answer.done:
                said = html.escape(answer.text.strip(), quote=False) or ("" if turn.note else "*(an empty answer)*")
                note = f"*{turn.note}*" if turn.note else ""
                found.append({"role": "assistant", "content": "\n\n".join(filter(None, (said, note)))})
        return found
