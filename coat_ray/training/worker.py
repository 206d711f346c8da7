"""Ray Train's side of a worker: its place in the group, and what happens to its errors."""

from __future__ import annotations

import errno
import logging
import os
from typing import Any

import ray.train
import ray.train.torch
import torch

from coat_ray.training.attempts import NoProgressError
from coat_ray.training.checkpoint import CheckpointError
from coat_ray.training.journal import Worker
from coat_ray.training.loop import train
from coat_ray.training.step import NonFiniteLossError
from coat_ray.training.task import WorkerTask

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
OUT_OF_MEMORY = (
    "the GPU's memory is too small for a batch: set training.micro_tokens, training.activation_checkpointing=true or a "
    "higher deepspeed.zero_stage, and go on from the newest checkpoint with the same command"
)


def train_worker(settings: dict[str, Any]) -> None:
    """Train one arm as one of several workers; ``settings["task"]`` is a ``WorkerTask``."""
    task: WorkerTask = settings["task"]
    logging.getLogger().setLevel(logging.WARNING)  # Ray logs every report under the root logger
    if task.stop_note.read() is not None:  # an error that would come again: end here instead of using up all retries
        return
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    try:
        train(task, Worker(rank, world, ray.train.torch.get_device(), ray.train.report))
    except (ValueError, NonFiniteLossError, CheckpointError, NoProgressError) as error:
        task.stop_note.write(str(error))
        raise
    except torch.OutOfMemoryError as error:
        task.stop_note.write(f"{OUT_OF_MEMORY} ({error})")
        raise
    except Exception as error:
        if _is_about_room(error):
            task.stop_note.write(f"there is no room to write: {error}")
        else:
            task.attempts.failed(error)
        raise


def _is_about_room(error: Exception) -> bool:
    """Whether a disk is full; safetensors has an exception of its own for it."""
    return getattr(error, "errno", None) in NO_ROOM or os.strerror(errno.ENOSPC) in str(error)
