"""Several copies of a model through Ray Data: batches are shared out among actors, answers come back in order.

The batches are those that one model would be asked, so the file of answers is the same whatever the number of actors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pyarrow as pa

from coat_ray.corpus.manifest import Row
from coat_ray.evaluation.asking.answers import AudioNotHeardError, EvaluationError, Said

SERVICE_CPUS = 1.0
"""Ray Data's own tasks beside the pool."""


class LoadedAnswerer(Protocol):
    """An answerer that says which model it is."""

    def answer(self, rows: Sequence[Row], max_new_tokens: int) -> list[Said]:
        """One answer per row, in order."""
        ...

    def identity(self) -> str:
        """What its answers belong to."""
        ...


@dataclass(frozen=True)
class RayPool:
    """A pool of actors, each with a model of its own. Ray must be connected.

    Args:
        load: makes an answerer inside an actor.
        actors: how many.
        cpus: of each actor.
        gpus: of each actor.
    """

    load: Callable[[], LoadedAnswerer]
    actors: int = 1
    cpus: float = 1.0
    gpus: float = 0.0

    def identity(self) -> str:
        """The model's identity, from a copy that is loaded for it."""
        import ray  # noqa: PLC0415 - heavy; who evaluates in one process does not need it

        ask: Any = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus)(lambda load: load().identity())
        return str(ray.get(ask.remote(self.load)))

    def stream(self, batches: Sequence[Sequence[Row]], max_new_tokens: int) -> Iterator[list[Said]]:
        """The answers of each batch, in the order of the batches.

        Raises:
            EvaluationError: what a model met, or an actor that died for good.
            ValueError: the cluster has too few resources, so that nothing would ever start.
        """
        import ray  # noqa: PLC0415
        from ray.data import ActorPoolStrategy, ExecutionResources  # noqa: PLC0415

        from coat_ray.ray_data import quiet_ray_data  # noqa: PLC0415

        if not batches:
            return
        has = ray.cluster_resources()
        for kind, need in {"CPU": self.cpus, "GPU": self.gpus}.items():
            if need > has.get(kind, 0) + 1e-9:
                raise ValueError(f"an actor needs {need:g} {kind}s and the cluster has {has.get(kind, 0):g}")
        share = ExecutionResources(cpu=self.actors * self.cpus + SERVICE_CPUS, gpu=self.actors * self.gpus)
        with quiet_ray_data(share, may_lose=0, ordered=True):
            tables = ray.data.from_blocks([_table(batch) for batch in batches])
            answered = tables.map_batches_internal(
                _Actor,
                fn_constructor_kwargs={"load": self.load, "max_new_tokens": max_new_tokens},
                batch_size=None,
                batch_format="pyarrow",
                compute=ActorPoolStrategy(size=self.actors, max_tasks_in_flight_per_actor=1),
                num_cpus=self.cpus,
                num_gpus=self.gpus,
            )
            try:
                for table in answered.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                    yield _read(table)
            except ray.exceptions.RayError as error:
                raise EvaluationError(f"the evaluation stopped: {str(error).strip().splitlines()[-1]}") from error


class _Actor:
    """One copy of the model. What it raises for a batch travels as text, because an actor's error loses its class."""

    def __init__(self, load: Callable[[], LoadedAnswerer], max_new_tokens: int) -> None:
        self.answerer, self.max_new_tokens = load(), max_new_tokens

    def __call__(self, table: pa.Table) -> pa.Table:
        rows = [Row.model_validate_json(text) for text in table.column("row").to_pylist()]
        try:
            said = self.answerer.answer(rows, self.max_new_tokens)
        except (EvaluationError, ValueError, OSError) as error:
            failed = json.dumps([type(error).__name__, str(error)])
            return pa.table({"said": pa.array([None], pa.string()), "failed": [failed]})
        texts = [json.dumps(asdict(one)) for one in said]
        return pa.table({"said": pa.array(texts, pa.string()), "failed": pa.array([None] * len(texts), pa.string())})


def _table(batch: Sequence[Row]) -> pa.Table:
    return pa.table({"row": [row.model_dump_json() for row in batch]})


def _read(table: pa.Table) -> list[Said]:
    for failed in table.column("failed").to_pylist():
        if failed is not None:
            kind, why = json.loads(failed)
            raise (AudioNotHeardError if kind == AudioNotHeardError.__name__ else EvaluationError)(why)
    found = [json.loads(text) for text in table.column("said").to_pylist()]
    return [Said(one["text"], tuple(one["clips"]), one["audio_tokens"]) for one in found]
