"""An OpenAI-compatible server as an answerer: clips go with the request, and the server must say that it heard them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from coat_ray.audio import clip_id, load_audio
from coat_ray.corpus.manifest import AUDIO_MARK, Message, Row
from coat_ray.evaluation.asking.answers import AudioNotHeardError, Said
from coat_ray.evaluation.asking.chat import ChatEndpoint

KEY = "COAT_API_KEY"
"""Environment variable with the key of the server."""

RATE = 16_000


@dataclass(frozen=True)
class ServerAnswerer:
    """Asks a server, a few questions at a time, greedily.

    Args:
        endpoint: the server.
        model: the model's name there.
        resolve: an audio URI of the manifest -> where it lies.
        at_once: requests at a time.
    """

    endpoint: ChatEndpoint
    model: str
    resolve: Callable[[str], Path | str]
    at_once: int = 4

    def answer(self, rows: Sequence[Row], max_new_tokens: int) -> list[Said]:
        """One answer per row.

        Raises:
            EvaluationError: the server cannot be reached or refuses.
            AudioNotHeardError: it does not say in ``usage`` how many audio tokens it took, or took none.
        """
        with ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(lambda row: self._ask(row, max_new_tokens), rows))

    def identity(self) -> str:
        """Address and name: what runs behind them cannot be seen from here."""
        return f"{self.endpoint.url.rstrip('/')} {self.model}"

    def _ask(self, row: Row, max_new_tokens: int) -> Said:
        signals = [load_audio(self.resolve(uri), RATE) for uri in row.audios]
        clips = iter(signals)
        messages = [{"role": message.role, "content": _parts(message, clips)} for message in row.prompt]
        text, usage = self.endpoint.complete(
            {"model": self.model, "messages": messages, "max_tokens": max_new_tokens, "temperature": 0}
        )
        details = usage.get("prompt_tokens_details")
        tokens = details.get("audio_tokens") if isinstance(details, dict) else None
        if signals and not (isinstance(tokens, int) and tokens > 0):
            raise AudioNotHeardError(
                f"row {row.id}: {self.endpoint.url} states no audio tokens in usage.prompt_tokens_details, so nothing "
                "proves that the clip reached the model"
            )
        return Said(text, tuple(clip_id(signal) for signal in signals), tokens if isinstance(tokens, int) else 0)


def _parts(message: Message, clips: Iterator[np.ndarray]) -> list[dict[str, Any]]:
    """The content of a message as the API takes it, a clip at each mark."""
    first, *others = message.content.split(AUDIO_MARK)
    parts: list[dict[str, Any]] = [{"type": "text", "text": first.strip("\n")}] if first.strip() else []
    for text in others:
        parts.append({"type": "input_audio", "input_audio": {"data": _wav(next(clips)), "format": "wav"}})
        if text.strip():
            parts.append({"type": "text", "text": text.strip("\n")})
    return parts


def _wav(signal: np.ndarray) -> str:
    """Base64 of a WAV file with the very samples, in 32-bit floats."""
    file = io.BytesIO()
    soundfile.write(file, signal, RATE, format="WAV", subtype="FLOAT")
    return base64.b64encode(file.getvalue()).decode()
