"""The two sides that are compared: this project's training step, and Hugging Face Trainer with PEFT.

Both start from the same weights (the LoRA matrices included), get the same rows, and update LoRA and the block's
three rows with AdamW at a constant rate, in float32, in one process with one thread. Each decodes and collates its rows
inside the step, without a thread or process that would work ahead. Time is what the process computed (CPU seconds): the
same as time passed on a machine that does nothing else, and still comparable on one that does.

The Trainer's side is the stock one: log-mel of the whole 30 s window, labels for
``Qwen2AudioForConditionalGeneration.forward``, padding to the longest row of the batch. The thinking block is plain
tokens in its input.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.utils import logging

from benchmarks.measure import forget_peak, peak_resident
from coat_ray.audio import load_audio
from coat_ray.config import Arm, RunConfig
from coat_ray.corpus.manifest import Manifest, Row, read_manifest
from coat_ray.model.backbones.base import FrontEnd
from coat_ray.model.backbones.whisper import WhisperFrontEnd
from coat_ray.model.block import TokenLayout
from coat_ray.model.coat import CoatModel
from coat_ray.training.batches import Collator
from coat_ray.training.engine import Engine
from coat_ray.training.step import train_step

LEARNING_RATE = 1e-4
UNHEARD = -100
"""Label of a position that does not count (PyTorch's cross-entropy ignores it)."""


@dataclass(frozen=True)
class Job:
    """What a side computes: batches of row ids, of which the first *warmup* are not counted."""

    student: Path
    manifest: Path
    batches: tuple[tuple[str, ...], ...]
    warmup: int = 1
    arm: Arm = "coat"
    recon: bool = False


@dataclass(frozen=True)
class Measured:
    """CPU seconds of each counted step, every step's loss, and resident bytes: with the model loaded, and at most."""

    seconds: tuple[float, ...]
    losses: tuple[float, ...]
    loaded: int
    peak: int


def run_config(student: Path, *, recon: bool = False, dtype: str = "float32", **training: Any) -> RunConfig:
    """A configuration that gives the model its LoRA, and nothing to schedule."""
    return RunConfig.model_validate(
        {
            "name": "benchmark",
            "backbone": {"weights": str(student), "dtype": dtype},
            "projector": {"num_heads": 2},
            "stages": [{"name": "only", "steps": 1, "weights": {"recon": 1.0} if recon else {}}],
            "optim": {"lr": LEARNING_RATE, "head_lr": LEARNING_RATE},
            "training": training,
            "deepspeed": {"zero_stage": 0},
        }
    )


@contextmanager
def one_worker(backend: str = "gloo") -> Iterator[None]:
    """This process as the only worker, with one thread; where a process group is there already, that one."""
    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = "0"  # DeepSpeed asks for it; Ray Train sets it for its workers
    if not dist.is_initialized():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        dist.init_process_group(backend, init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    yield


def ours(job: Job) -> Measured:
    """The embedded path: Collator, CoatModel, Engine and ``train_step``."""
    logging.disable_progress_bar()
    with one_worker():
        config = run_config(job.student, recon=job.recon)
        model = CoatModel.create(config, block=job.arm == "coat", specs={})
        collate = Collator(read_manifest(job.manifest), model.front, {}, block=model.block, cache_bytes=0)
        engine = Engine(model.train(), config, 1, torch.device("cpu"))
        stage = config.stages[0]
        active = stage.active if model.block else ()
        engine.set_learning_rates(1.0, active)
        loaded, losses, ends = forget_peak(), [], [time.process_time()]
        for rows in job.batches:
            sums = train_step(engine, [collate(rows, active)], stage, active)
            losses.append(float(sums.values["ce"]) / sums.values["tokens"])
            ends.append(time.process_time())
        engine.close()
    return _measured(job, ends, losses, loaded)


def with_trainer(job: Job) -> Measured:
    """Hugging Face Trainer on the same model under PEFT."""
    from transformers import PrinterCallback, Trainer, TrainerCallback  # noqa: PLC0415 - slow to import

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    model = CoatModel.create(run_config(job.student), block=True, specs={})  # the same LoRA, from the same seed
    front, manifest = cast("WhisperFrontEnd", model.front), read_manifest(job.manifest)
    ends: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            ends.append(time.process_time())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.process_time())

    class Stock(Trainer):
        def training_step(self, *arguments: Any, **named: Any) -> Tensor:
            loss = super().training_step(*arguments, **named)
            losses.append(loss.item())
            return loss

    by_id = {row.id: row for row in manifest.rows}
    rows = [{"row": by_id[name]} for batch in job.batches for name in batch]
    trainer = Stock(model.peft, _settings(job), lambda rows: _collate(rows, manifest, front), rows, callbacks=[Clock()])
    trainer.remove_callback(PrinterCallback)
    loaded = forget_peak()
    trainer.train()
    return _measured(job, ends, losses, loaded)


def _settings(job: Job) -> Any:
    """What ``run_config`` says, in the Trainer's words; batches come in the job's order."""
    from transformers import TrainingArguments  # noqa: PLC0415

    return TrainingArguments(
        output_dir=str(job.manifest.parent / "trainer"),
        use_cpu=True,
        per_device_train_batch_size=len(job.batches[0]),
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        max_grad_norm=1.0,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        label_names=["labels"],
        disable_tqdm=True,
    )


def _measured(job: Job, ends: Sequence[float], losses: Sequence[float], loaded: int) -> Measured:
    seconds = [end - start for start, end in pairwise(ends)]
    return Measured(tuple(seconds[job.warmup :]), tuple(losses), loaded, peak_resident())


def _collate(rows: Sequence[dict[str, Row]], manifest: Manifest, front: WhisperFrontEnd) -> dict[str, Tensor]:
    """What the stock pipeline feeds: whole windows, and labels outside the answer that do not count."""
    signals = [load_audio(manifest.resolve(uri), front.sample_rate) for item in rows for uri in item["row"].audios]
    layouts = [_layout(item["row"], front, signal) for item, signal in zip(rows, signals, strict=True)]
    mel = front.extractor(
        signals,
        sampling_rate=front.sample_rate,
        padding="max_length",
        return_attention_mask=True,
        return_tensors="pt",
    )
    labels = [
        [token if answer else UNHEARD for token, answer in zip(layout.input_ids, layout.response, strict=True)]
        for layout in layouts
    ]
    return {
        "input_ids": _pad([layout.input_ids for layout in layouts], front.tokenizer.pad_token_id),
        "attention_mask": _pad([[1] * len(layout) for layout in layouts], 0),
        "labels": _pad(labels, UNHEARD),
        "input_features": mel["input_features"],
        "feature_attention_mask": mel["attention_mask"],
    }


def _layout(row: Row, front: FrontEnd, signal: Any) -> TokenLayout:
    messages = [{"role": message.role, "content": message.content} for message in row.messages]
    return front.encode_row(messages, [front.audio_length(len(signal))], block=True, with_response=True)


def _pad(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=fill)
