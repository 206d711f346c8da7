"""What every worker runs, from the first step or from the newest checkpoint to the adapter."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from coat_ray.config import RunConfig
from coat_ray.model.batch import Batch
from coat_ray.storage import atomic_write
from coat_ray.training.balance import balanced
from coat_ray.training.checkpoint import Checkpoint, Progress, newest_checkpoint, write_checkpoint
from coat_ray.training.engine import Engine, trainable
from coat_ray.training.prefetch import prefetch
from coat_ray.training.schedule import lr_factor
from coat_ray.training.state import gather_state, load_moments, load_values
from coat_ray.training.step import NonFiniteLossError, Window, seed_step, train_step
from coat_ray.training.task import Parts, WorkerTask, build_coat
from coat_ray.training.throughput import peak_memory, speed


def train_worker(settings: dict[str, Any]) -> None:
    """Train one arm as one of several workers; ``settings["task"]`` is a ``WorkerTask``."""
    task: WorkerTask = settings["task"]
    logging.getLogger().setLevel(logging.WARNING)  # Ray logs every report under the root logger
    if task.stop_note.exists():  # an error that would come again: end here instead of using up all retries
        return
    try:
        _train(task)
    except (ValueError, NonFiniteLossError) as error:
        atomic_write(task.stop_note, str(error))
        raise


def _train(task: WorkerTask) -> None:
    config, every = task.config, task.config.training
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = ray.train.torch.get_device()

    parts = (task.build or build_coat)(task)
    roles = {role for stage in config.stages for role in task.active(stage)}
    parts = replace(parts, model=balanced(parts.model, config, roles))
    checkpoint = _agree_on_checkpoint(task)
    engine = _start(task, parts, checkpoint, world, device)
    first_step = checkpoint.progress.step if checkpoint else 0
    for line in checkpoint.progress.lines if checkpoint else []:
        ray.train.report(line if rank == 0 else {})

    window, lines, clock = Window(), [], time.perf_counter()
    with closing(prefetch(_batches(task, parts, first_step, rank, world))) as batches:
        for step, batch in enumerate(batches, first_step):
            stage_index = parts.plan.stage_at(step)
            stage = config.stages[stage_index]
            active = task.active(stage)
            if step == _start_of(config, stage_index):
                before = task.active(config.stages[stage_index - 1]) if stage_index else ()
                engine.forget_moments(set(active) - set(before))

            factor = lr_factor(step, config.total_steps, config.optim)
            engine.set_learning_rates(factor, active)
            seed_step(config.seed, step, rank)
            window.add(train_step(engine, batch.to(device), stage, active))

            done = step + 1
            saves = done % every.checkpoint_every == 0 or done == config.total_steps
            ends_stage = done == _start_of(config, stage_index) + stage.steps
            if done % every.log_every == 0 or saves or ends_stage:
                now = time.perf_counter()
                where = {"step": done, "stage": stage.name, "lr": config.optim.lr * factor, "seconds": now - clock}
                means, peaks = window.flush(stage.weights), peak_memory(device)
                line = where | means | speed(means, now - clock) | peaks if rank == 0 else {}
                clock = now
                lines.append(line)
                ray.train.report(line)
            if saves:
                _save(task, engine, Progress(done, stage_index, task.fingerprint, engine.adam_steps(), lines))
                lines = []
    _export(task, engine, rank)
    engine.close()


def _agree_on_checkpoint(task: WorkerTask) -> Checkpoint | None:
    """The newest checkpoint, as worker 0 sees it."""
    chosen: list[Checkpoint | None] = [None]
    if dist.get_rank() == 0:
        chosen = [newest_checkpoint(task.checkpoints, task.fingerprint)]
    dist.broadcast_object_list(chosen)
    return chosen[0]


def _start(task: WorkerTask, parts: Parts, checkpoint: Checkpoint | None, world: int, device: torch.device) -> Engine:
    """The engine at the beginning, or where the checkpoint left it."""
    if checkpoint is not None:
        load_values(trainable(parts.model), checkpoint.state)
    engine = Engine(parts.model.to(device).train(), task.config, world, device)
    if checkpoint is not None:
        load_moments(engine, checkpoint.state)
        engine.set_adam_steps(checkpoint.progress.adam_steps)
    return engine


def _batches(task: WorkerTask, parts: Parts, first_step: int, rank: int, world: int) -> Iterator[Batch]:
    """This worker's part of every global batch that is still to come."""
    steps = range(first_step, parts.plan.total_steps)
    shards = [parts.plan.shard(step, rank, world) for step in steps]
    parts.announce(shards)
    for step, rows in zip(steps, shards, strict=True):
        yield parts.collate(rows, task.active(task.config.stages[parts.plan.stage_at(step)]))


def _start_of(config: RunConfig, stage_index: int) -> int:
    return sum(stage.steps for stage in config.stages[:stage_index])


def _save(task: WorkerTask, engine: Engine, progress: Progress) -> None:
    rank = dist.get_rank()
    state = gather_state(engine, keep=rank == 0)
    if rank == 0:
        write_checkpoint(task.checkpoints, state, progress)
    dist.barrier()


def _export(task: WorkerTask, engine: Engine, rank: int) -> None:
    """Write the adapter in one piece."""
    with engine.gathered():
        if rank == 0:
            temporary = task.adapter.with_name(".adapter-being-written")
            shutil.rmtree(temporary, ignore_errors=True)
            engine.deepspeed.module.save_adapter(temporary)
            shutil.rmtree(task.adapter, ignore_errors=True)
            temporary.rename(task.adapter)
    dist.barrier()
