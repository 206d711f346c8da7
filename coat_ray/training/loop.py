"""What every worker runs, from the first step or from the newest checkpoint to the adapter."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist

from coat_ray.model.batch import Batch
from coat_ray.training.attempts import NoProgressError
from coat_ray.training.balance import balanced
from coat_ray.training.checkpoint import Checkpoint, CheckpointError, Progress, newest_checkpoint, write_checkpoint
from coat_ray.training.engine import Engine, trainable
from coat_ray.training.journal import Journal, Worker
from coat_ray.training.left_out import LeftOut
from coat_ray.training.prefetch import prefetch
from coat_ray.training.schedule import lr_factor
from coat_ray.training.state import gather_state, load_moments, load_values
from coat_ray.training.step import seed_step, train_step
from coat_ray.training.task import Parts, WorkerTask, build_coat


def train(task: WorkerTask, worker: Worker) -> None:
    """Train one arm from its newest checkpoint to its end, to ``task.until``, or until somebody asks it to yield.

    The process group must be there. An arm that ended has an adapter.

    Raises:
        ValueError: a row, clip or target that cannot be trained on.
        NonFiniteLossError: a loss that is NaN or infinite, more often than ``training.skip_nonfinite`` allows.
        CheckpointError: a checkpoint that cannot be written.
        NoProgressError: see ``attempts.py``.
    """
    config = task.config
    checkpoint = _agree_on_checkpoint(task)
    parts = (task.build or build_coat)(task)
    roles = {role for stage in config.stages for role in task.active(stage)}
    parts = replace(parts, model=balanced(parts.model, config, roles))
    engine = _start(task, parts, checkpoint, worker)
    first = checkpoint.progress if checkpoint else Progress(0, 0, task.fingerprint, {})
    left_out, journal = LeftOut(config.training.skip_nonfinite, first.left_out), Journal(worker)
    journal.repeat(first.lines)
    if task.until is not None and first.step > task.until:
        raise ValueError(f"it cannot pause after step {task.until}: it has done {first.step} already")
    if first.step == task.until:  # a worker before this one died between its checkpoint and its snapshot
        _export(task, engine, worker, task.snapshot(first.step))
        engine.close()
        return
    with closing(prefetch(_batches(task, parts, first.step, worker))) as batches:
        for step in range(first.step, config.total_steps):
            with journal.waiting():
                shard = next(batches)
            stage_index = parts.plan.stage_at(step)
            stage = config.stages[stage_index]
            active = task.active(stage)
            if step == parts.plan.start_of(stage_index):
                before = task.active(config.stages[stage_index - 1]) if stage_index else ()
                engine.forget_moments(set(active) - set(before))

            factor = lr_factor(step, config.total_steps, config.optim)
            engine.set_learning_rates(factor, active)
            seed_step(config.seed, step, worker.rank)
            done = step + 1
            leave_out = partial(left_out.take, done, stand_in=partial(parts.collate, [], active, step))
            journal.add(train_step(engine, shard, stage, active, leave_out))

            yields = _anybody(task.yield_note.exists(), worker)
            pauses = done == task.until
            saves = done % config.training.checkpoint_every == 0 or done == config.total_steps or yields or pauses
            ends_stage = done == parts.plan.start_of(stage_index + 1)
            if done % config.training.log_every == 0 or saves or ends_stage:
                where = {"step": done, "stage": stage.name, "lr": config.optim.lr * factor}
                journal.write(where | left_out.since_last_line(), stage.weights)
            if task.keeps(done):  # before the checkpoint, so that a run which goes on from that one has it
                _export(task, engine, worker, task.snapshot(done))
            if saves:
                counts, lines = engine.adam_steps(), journal.take_lines()
                _save(task, engine, Progress(done, stage_index, task.fingerprint, counts, lines, left_out.used))
            if pauses:
                _export(task, engine, worker, task.snapshot(done))
            if (yields or pauses) and done < config.total_steps:
                engine.close()
                return
    _export(task, engine, worker, task.adapter)
    engine.close()


def _agree_on_checkpoint(task: WorkerTask) -> Checkpoint | None:
    """The newest checkpoint, as worker 0 sees it; it also notes the attempt."""
    found: list[Checkpoint | NoProgressError | None] = [None]
    if dist.get_rank() == 0:
        checkpoint = newest_checkpoint(task.checkpoints, task.fingerprint)
        try:
            task.attempts.begin(checkpoint.progress.step if checkpoint else 0)
            found = [checkpoint]
        except NoProgressError as error:
            found = [error]
    dist.broadcast_object_list(found)
    if isinstance(found[0], NoProgressError):
        raise found[0]
    return found[0]


def _start(task: WorkerTask, parts: Parts, checkpoint: Checkpoint | None, worker: Worker) -> Engine:
    """The engine at the beginning, or where the checkpoint left it."""
    if checkpoint is not None:
        load_values(trainable(parts.model), checkpoint.state)
    engine = Engine(parts.model.to(worker.device).train(), task.config, worker.world, worker.device)
    if checkpoint is not None:
        load_moments(engine, checkpoint.state)
        engine.set_adam_steps(checkpoint.progress.adam_steps)
    return engine


def _batches(task: WorkerTask, parts: Parts, first_step: int, worker: Worker) -> Iterator[Sequence[Batch]]:
    """This worker's parts of every global batch that is still to come."""
    steps = range(first_step, parts.plan.total_steps)
    micro_tokens = task.config.training.micro_tokens
    shards = [parts.plan.shard(step, worker.rank, worker.world, micro_tokens) for step in steps]
    parts.announce([part for shard in shards for part in shard])
    for step, shard in zip(steps, shards, strict=True):
        roles = task.active(task.config.stages[parts.plan.stage_at(step)])
        batches = [parts.collate(part, roles, step) for part in shard]
        yield [batch.pinned() for batch in batches] if worker.device.type == "cuda" else batches


def _anybody(asked: bool, worker: Worker) -> bool:
    """Whether any worker was asked, the same answer on all of them."""
    votes = torch.tensor(float(asked), device=worker.device)
    dist.all_reduce(votes)
    return bool(votes.item())


def _save(task: WorkerTask, engine: Engine, progress: Progress) -> None:
    """Write a checkpoint; where worker 0 cannot, every worker says so."""
    rank = dist.get_rank()
    state = gather_state(engine, keep=rank == 0)
    failure: list[str | None] = [None]
    if rank == 0:
        try:
            write_checkpoint(task.checkpoints, state, progress)
        except CheckpointError as error:
            failure = [str(error)]
    dist.broadcast_object_list(failure)
    if failure[0] is not None:
        raise CheckpointError(failure[0])


def _export(task: WorkerTask, engine: Engine, worker: Worker, folder: Path) -> None:
    """Write the adapter in one piece."""
    with engine.gathered():
        if worker.rank == 0:
            temporary = task.folder / ".adapter-being-written"
            shutil.rmtree(temporary, ignore_errors=True)
            engine.deepspeed.module.save_adapter(temporary)
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(exist_ok=True)
            temporary.rename(folder)
    dist.barrier()
