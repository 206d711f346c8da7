"""Our models inside lmms-eval 0.7, in its own process: ``lmms-eval --model coat --model_args pretrained=coat``.

Only lmms-eval imports this module. Clips come as its tasks give them, questions as they are written; every answer comes
from the engine that serves, the block put in by code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from lmms_eval.api.model import lmms
from tqdm import tqdm

from coat_ray.audio import resample
from coat_ray.config import BackboneConfig
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.inference.engine import Engine
from coat_ray.inference.limits import EngineLimits
from coat_ray.inference.requests import AdapterSource, Mode, Request, Sampling
from coat_ray.model.backbones.base import AUDIO_MARK
from coat_ray.registry.models import BASE, ModelRegistry
from coat_ray.storage import Storage

MAX_NEW_TOKENS = 256
"""Where a task names no bound."""


class Coat(lmms):
    """A registered model, or a bare base.

    Args:
        pretrained: a model's name or alias, ``name@version``, or ``base``.
        mode: ``block``, ``plain`` or ``text_cot``; see ``inference.requests.Mode``.
        family: of the bare base.
        weights: of the bare base.
        batch_size: requests that run together.
        device: only the default of lmms-eval, which is not read: the engine takes the GPU that it finds.
    """

    def __init__(
        self,
        *,
        pretrained: str = "coat",
        mode: str = "block",
        family: str = "qwen2_audio",
        weights: str = "embedded",
        batch_size: int | str = 1,
        device: str | None = None,  # noqa: ARG002 - lmms-eval passes it to every model
    ) -> None:
        super().__init__()
        base, self._adapter = BackboneConfig(family=family, weights=weights), None
        if pretrained != BASE:
            registry = ModelRegistry(Storage.default())
            record = registry.resolve(pretrained)
            base = BackboneConfig(**record.base)
            self._adapter = AdapterSource.of(record, registry.adapter_folder(record))
        self._mode, self._batch = Mode(mode), int(batch_size)
        self._engine = Engine.open(base, EngineLimits(rows=self._batch, waiting=self._batch))

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """One answer per request, in order.

        Raises:
            EvaluationError: a clip that did not reach the model, so that no score would be honest.
            RequestRefused: a question or clip that the base cannot take.
        """
        answers: list[str] = []
        bar = tqdm(total=len(requests), desc="coat")
        for batch in _batches(requests, self._batch):
            asked = [self._request(request.args) for request in batch]
            handles = [self._engine.submit(request) for request in asked]
            for request, handle in zip(asked, handles, strict=True):
                result = handle.result()
                if request.clips and not result.usage.audio:
                    raise EvaluationError("a clip did not reach the model: its prompt holds no audio tokens")
                answers.append(result.text.strip())
            bar.update(len(batch))
        bar.close()
        return answers

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refused: tasks of several rounds depend on answers in between, which this model is not told."""
        raise NotImplementedError("coat answers tasks of one round")

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refused: the engine gives answers, not probabilities of given texts."""
        raise NotImplementedError("coat generates answers; it does not score given ones")

    def _request(self, arguments: tuple[Any, ...]) -> Request:
        context, kwargs, doc_to_visual, doc_id, task, split = arguments
        found = doc_to_visual(self.task_dict[task][split][doc_id]) or []
        clips = [_signal(clip, self._engine.front.sample_rate) for clip in found if clip is not None]
        content = "\n".join([*[AUDIO_MARK] * len(clips), context])
        return Request([{"role": "user", "content": content}], clips, self._adapter, self._mode, _sampling(kwargs))


def _sampling(kwargs: Mapping[str, Any]) -> Sampling:
    """A task's ``generation_kwargs``; what it leaves out is greedy and ends with the turn."""
    until = kwargs.get("until") or ()
    temperature = float(kwargs.get("temperature") or 0)
    return Sampling(
        max_tokens=int(kwargs.get("max_new_tokens") or MAX_NEW_TOKENS),
        temperature=temperature,
        top_p=float(kwargs.get("top_p") or 1) if temperature else 1.0,
        seed=0,
        stop=tuple(filter(None, [until] if isinstance(until, str) else until)),
    )


def _signal(clip: Any, rate: int) -> np.ndarray:
    """Mono float32 at *rate* of a clip as ``datasets`` gives it: a dictionary, or from version 4 on a decoder."""
    if isinstance(clip, Mapping):
        signal, found = np.asarray(clip["array"], np.float32), int(clip["sampling_rate"])
    elif hasattr(clip, "get_all_samples"):
        samples = clip.get_all_samples()
        signal, found = samples.data.numpy().astype(np.float32), int(samples.sample_rate)
    else:
        raise EvaluationError(f"a task gave a {type(clip).__name__} where a clip was expected")
    if signal.ndim == 2:
        signal = signal.mean(axis=int(signal.shape[0] > signal.shape[1]))
    return resample(signal, found, rate)


def _batches(requests: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(requests), size):
        yield requests[start : start + size]
