"""The encode pipeline as Ray Data operators; what they do is in decode.py and pool.py.

Shared: each actor decodes a block and hosts every expert, so waveforms never leave it. Apart: tasks decode, and the
blocks then pass through one pool of actors per expert.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset, ExecutionResources, TaskPoolStrategy
from ray.exceptions import RayError

from coat_ray.audio import AudioLimits
from coat_ray.config import ResourcesConfig
from coat_ray.ray_data import quiet_ray_data
from coat_ray.targets.decode import Claim, Decoder, work_table
from coat_ray.targets.plan import Claims, ClipWork, make_blocks
from coat_ray.targets.pool import ExpertPool, ExpertTask, LoadExpert
from coat_ray.targets.pools import SERVICE_CPUS, Pool, is_shared, most_of, pools_of

_MAX_RESTARTS = 20  # of one actor: a process that dies while it starts must not start forever
_MAX_RETRIES = 2
_LOST_BLOCKS, _LOST_SHARE = 16, 20  # blocks that a run may lose before it stops: so many, or one in so many


class EncodeError(RuntimeError):
    """The pipeline could not go on; the message says why and what is left."""


@dataclass(frozen=True)
class Pipeline:
    """Everything the operators need besides the clips.

    ``alone``: every clip is a block of its own and an actor holds one at a time, so that a clip that kills its process
    takes no other with it.
    """

    tasks: Sequence[ExpertTask]
    resources: ResourcesConfig
    load: LoadExpert
    limits: AudioLimits
    alone: bool = False

    def stream(self, work: Sequence[ClipWork], claims: Claims) -> Iterator[pa.Table]:
        """Encode *work*; yields the outcome of each block, as ``ExpertPool`` describes it.

        A block whose process dies again and again does not come out; the caller sees which clips are missing.

        Raises:
            ValueError: the cluster has too few resources, so that the pipeline would wait forever.
            EncodeError: an actor could not start, or many blocks were lost.
        """
        blocks = [[clip] for clip in work] if self.alone else make_blocks(work, self.resources.encode_actors)
        may_lose = max(_LOST_BLOCKS, len(blocks) // _LOST_SHARE)
        try:
            yield from self._run(blocks, _claim_through_actor(claims), may_lose)
        except RayError as error:
            raise EncodeError(
                f"encoding stopped: {_cause(error)}; what is stored stays, run it again to go on"
            ) from error

    def frames(self, blocks: Sequence[Sequence[ClipWork]]) -> Iterator[pa.Table]:
        """Encode *blocks* in their order and store nothing: the frames of every expert come in the tables.

        Ray Data holds the pipeline back while nobody takes the tables, so it runs ahead only as far as memory allows.

        Raises:
            ValueError: the cluster has too few resources. EncodeError: an actor could not start, or a block was lost.
        """
        every = tuple(task.name for task in self.tasks)
        try:
            yield from self._run(blocks, _Always(every), may_lose=0, frames=True)
        except RayError as error:
            raise EncodeError(f"the experts beside training stopped: {_cause(error)}") from error

    def _run(
        self, blocks: Sequence[Sequence[ClipWork]], claim: Claim, may_lose: int, *, frames: bool = False
    ) -> Iterator[pa.Table]:
        self._check_cluster()
        decoder = Decoder({task.name: task.sample_rate for task in self.tasks}, self.limits, claim)
        with quiet_ray_data(self._share(), may_lose=may_lose, ordered=frames):
            tables = ray.data.from_blocks([work_table(block) for block in blocks])
            encode = self._shared if is_shared(self.resources) else self._apart
            outcomes = encode(tables, decoder, frames=frames)
            yield from outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)

    def _shared(self, blocks: Dataset, decoder: Decoder, *, frames: bool) -> Dataset:
        return self._pooled(blocks, self.tasks, self._pools()[0], keep_rates=[], decoder=decoder, frames=frames)

    def _apart(self, blocks: Dataset, decoder: Decoder, *, frames: bool) -> Dataset:
        def decode(table: pa.Table) -> pa.Table:
            return decoder(table)

        data = blocks.map_batches(
            decode,
            batch_size=None,
            batch_format="pyarrow",
            compute=TaskPoolStrategy(size=self.resources.decode_tasks),
            num_cpus=self.resources.encode_cpus,
            max_retries=self._retries,
        )
        for place, (task, pool) in enumerate(zip(self.tasks, self._pools(), strict=True)):
            later = sorted({other.sample_rate for other in self.tasks[place + 1 :]})
            data = self._pooled(data, [task], pool, keep_rates=later, decoder=None, frames=frames)
        return data

    def _pools(self) -> list[Pool]:
        return pools_of(self.resources, [task.role for task in self.tasks])

    def _share(self) -> ExecutionResources:
        """What the run's lease holds for this: Ray Data may not take more, whatever the cluster has."""
        cpus, gpus = most_of(self.resources, [task.role for task in self.tasks])
        return ExecutionResources(cpu=cpus + SERVICE_CPUS, gpu=gpus)

    def _pooled(
        self,
        data: Dataset,
        tasks: Sequence[ExpertTask],
        pool: Pool,
        *,
        keep_rates: Sequence[int],
        decoder: Decoder | None,
        frames: bool,
    ) -> Dataset:
        # Not map_batches, which with GPUs refuses batch_size=None: a block must stay one batch, and one part file.
        return data.map_batches_internal(
            ExpertPool,
            fn_constructor_kwargs={
                "tasks": list(tasks),
                "load": self.load,
                "device": "cuda" if pool.gpus else "cpu",
                "batch_seconds": self.resources.encode_batch_seconds,
                "keep_rates": list(keep_rates),
                "decoder": decoder,
                "frames": frames,
            },
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(
                min_size=pool.min_actors,
                max_size=pool.max_actors,
                max_tasks_in_flight_per_actor=1 if self.alone else None,
            ),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus,
            max_restarts=_MAX_RESTARTS,
            max_task_retries=self._retries,
        )

    @property
    def _retries(self) -> int:
        return 1 if self.alone else _MAX_RETRIES

    def _check_cluster(self) -> None:
        pools = self._pools()
        decoding = 0 if is_shared(self.resources) else self.resources.encode_cpus
        needs = {
            "CPU": sum(pool.min_actors * pool.cpus for pool in pools) + decoding,
            "GPU": sum(pool.min_actors * pool.gpus for pool in pools),
        }
        actors, has = sum(pool.min_actors for pool in pools), ray.cluster_resources()
        for kind, need in needs.items():
            if need > has.get(kind, 0) + 1e-9:
                raise ValueError(
                    f"{actors} encode actors need {need:g} {kind}s and the cluster has {has.get(kind, 0):g}: lower "
                    f"resources.encode_actors, encode_{kind.lower()}s or encode_pools, or set encode_shared=true"
                )


def _claim_through_actor(claims: Claims) -> Claim:
    """One actor answers all decoders, so that a clip held by two files is encoded once."""
    actor: Any = ray.remote(num_cpus=0)(Claims).remote(claims.done)

    def claim(clips: list[tuple[str, str]]) -> list[tuple[str, ...]]:
        answer: list[tuple[str, ...]] = ray.get(actor.claim.remote(clips))
        return answer

    return claim


@dataclass(frozen=True)
class _Always:
    """A claim that wants every clip from every expert."""

    datasets: tuple[str, ...]

    def __call__(self, clips: list[tuple[str, str]]) -> list[tuple[str, ...]]:
        return [self.datasets] * len(clips)


def _cause(error: RayError) -> str:
    """The last line of Ray's text, which ends with what the actor met."""
    return str(error).strip().splitlines()[-1].strip()
