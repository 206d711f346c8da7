"""The encode pipeline as Ray Data operators; what they do is in decode.py and pool.py.

Shared: each actor decodes a block and hosts every expert, so waveforms never leave it. Apart: tasks decode, and the
blocks then pass through one pool of actors per expert.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset, TaskPoolStrategy
from ray.exceptions import RayError

from coat_ray.audio import AudioLimits
from coat_ray.config import ResourcesConfig
from coat_ray.targets.decode import Claim, Decoder, work_table
from coat_ray.targets.plan import Claims, ClipWork, make_blocks
from coat_ray.targets.pool import ExpertPool, ExpertTask, LoadExpert

_MAX_RESTARTS = 3  # a clip that kills its process ends the run after this many tries instead of repeating forever


class EncodeError(RuntimeError):
    """The pipeline could not go on; the message says why and what is left."""


@dataclass(frozen=True)
class Pipeline:
    """Everything the operators need besides the clips."""

    tasks: Sequence[ExpertTask]
    resources: ResourcesConfig
    load: LoadExpert
    limits: AudioLimits

    def stream(self, work: Sequence[ClipWork], claims: Claims) -> Iterator[pa.Table]:
        """Encode *work*; yields the outcome of each block, as ``ExpertPool`` describes it.

        Raises:
            ValueError: the cluster has too few resources, so that the pipeline would wait forever.
            EncodeError: an actor could not start, or died again and again.
        """
        self._check_cluster()
        decoder = Decoder(
            {task.name: task.sample_rate for task in self.tasks}, self.limits, _claim_through_actor(claims)
        )
        num_actors = self.resources.encode_actors
        with _quiet_ray_data():
            blocks = ray.data.from_blocks([work_table(block) for block in make_blocks(work, num_actors)])
            outcomes = self._shared(blocks, decoder) if self._is_shared else self._apart(blocks, decoder)
            try:
                yield from outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
            except RayError as error:
                cause = str(error).strip().splitlines()[-1].strip()  # Ray's text ends with what the actor met
                raise EncodeError(f"encoding stopped: {cause}; what is stored stays, run it again to go on") from error

    @property
    def _is_shared(self) -> bool:
        shared = self.resources.encode_shared
        return self.resources.encode_gpus == 0 if shared is None else shared

    def _shared(self, blocks: Dataset, decoder: Decoder) -> Dataset:
        return self._pool(blocks, self.tasks, keep_rates=[], decoder=decoder)

    def _apart(self, blocks: Dataset, decoder: Decoder) -> Dataset:
        def decode(table: pa.Table) -> pa.Table:
            return decoder(table)

        data = blocks.map_batches(
            decode,
            batch_size=None,
            batch_format="pyarrow",
            compute=TaskPoolStrategy(size=self.resources.decode_tasks),
            num_cpus=self.resources.encode_cpus,
        )
        for place, task in enumerate(self.tasks):
            later = sorted({other.sample_rate for other in self.tasks[place + 1 :]})
            data = self._pool(data, [task], keep_rates=later, decoder=None)
        return data

    def _pool(self, data: Dataset, tasks: Sequence[ExpertTask], keep_rates: Sequence[int], decoder: Any) -> Dataset:
        return data.map_batches(
            ExpertPool,
            fn_constructor_kwargs={
                "tasks": list(tasks),
                "load": self.load,
                "device": "cuda" if self.resources.encode_gpus else "cpu",
                "batch_seconds": self.resources.encode_batch_seconds,
                "keep_rates": list(keep_rates),
                "decoder": decoder,
            },
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=self.resources.encode_actors),
            num_cpus=self.resources.encode_cpus,
            num_gpus=self.resources.encode_gpus,
            max_restarts=_MAX_RESTARTS,
            max_task_retries=_MAX_RESTARTS,
        )

    def _check_cluster(self) -> None:
        pools = 1 if self._is_shared else len(self.tasks)
        actors = pools * self.resources.encode_actors
        decoders = 0 if self._is_shared else 1
        needs = {
            "CPU": (actors + decoders) * self.resources.encode_cpus,
            "GPU": actors * self.resources.encode_gpus,
        }
        has = ray.cluster_resources()
        for kind, need in needs.items():
            if need > has.get(kind, 0) + 1e-9:
                raise ValueError(
                    f"{actors} encode actors need {need:g} {kind}s and the cluster has {has.get(kind, 0):g}: lower "
                    f"resources.encode_actors, encode_{kind.lower()}s, or set encode_shared=true"
                )


def _claim_through_actor(claims: Claims) -> Claim:
    """One actor answers all decoders, so that a clip held by two files is encoded once."""
    actor: Any = ray.remote(num_cpus=0)(Claims).remote(claims.done)

    def claim(clips: list[tuple[str, str]]) -> list[tuple[str, ...]]:
        answer: list[tuple[str, ...]] = ray.get(actor.claim.remote(clips))
        return answer

    return claim


@contextmanager
def _quiet_ray_data() -> Iterator[None]:
    """Our own progress speaks of clips; Ray Data's bars and notes speak of blocks and fill a job's log."""
    context, logger = DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, context.print_on_execution_start, logger.level
    context.enable_progress_bars = context.print_on_execution_start = False
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Ray 2.60 announces the end of max_restarts in map_batches and has nothing in its place yet.
            warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
            yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start = before[:2]
        logger.setLevel(before[2])
