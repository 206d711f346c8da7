"""The published size on a GPU: samples a second and model FLOPs utilisation (MFU), with random weights."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from benchmarks.effort import Options
from benchmarks.measure import Line, apart
from benchmarks.sides import one_worker, run_config
from benchmarks.student import SIZES, make_rows, make_student
from coat_ray.model.batch import Batch
from coat_ray.model.coat import CoatModel, Teacher
from coat_ray.model.devices import wait_for
from coat_ray.model.losses import FocalSettings

if TYPE_CHECKING:
    from coat_ray.model.backbones.qwen2_audio import Qwen2AudioBackbone

PEAK_BF16 = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Dense bfloat16 FLOPs a second by what the device's name holds (NVIDIA's data sheets, SXM; without sparsity)."""

CLIP_SECONDS, WARMUP = 10.0, 3


@dataclass(frozen=True)
class Variant:
    """How a step is computed. *recomputed*: the decoder's layers again in the backward pass."""

    rows: int
    compiled: bool = False
    recomputed: bool = False

    def __str__(self) -> str:
        """For a line of the table."""
        how = ["layers compiled"] * self.compiled + ["layers computed again"] * self.recomputed
        return f"{self.rows} clips of {CLIP_SECONDS:g} s{''.join(f', {part}' for part in how)}"


def gpu(folder: Path, options: Options) -> Iterator[Line]:
    """CoAT with the reconstruction loss on clips of 10 s."""
    name, rows = options.effort.gpu_student, options.effort.gpu_rows
    what = f"samples/s, MFU, peak GPU memory; {name}, bfloat16"
    if options.device == "cpu" and name != "tiny":
        yield Line(what, "not run: needs --device cuda", "-")
        return
    variants = [Variant(rows, recomputed=True)]
    if options.device == "cuda":
        variants = [Variant(rows, compiled=True), Variant(2 * rows, compiled=True), Variant(rows), *variants]
    for number, variant in enumerate(variants):
        seconds, flops, peak, memory = apart(
            trained, folder / f"gpu{number}", name, options.device, variant, options.effort.gpu_steps
        )
        used = f"{flops / seconds / peak:.1%}" if peak else f"unknown peak ({flops / seconds / 1e12:.3g} TFLOP/s)"
        held = f"{memory / 2**30:.1f} GiB" if memory else "not on a GPU"
        yield Line(f"{what}; {variant}", f"{variant.rows / seconds:.2f}, {used}, {held}", "MFU >= 45 %")


def trained(
    folder: Path, name: str, device_name: str, variant: Variant, steps: int
) -> tuple[float, float, float | None, int]:
    """Median seconds of a step, its model FLOPs, the device's peak FLOPs a second if known, peak bytes allocated."""
    from coat_ray.corpus.manifest import read_manifest  # noqa: PLC0415 - only in the process that measures
    from coat_ray.training.batches import Collator  # noqa: PLC0415
    from coat_ray.training.engine import Engine  # noqa: PLC0415
    from coat_ray.training.step import train_step  # noqa: PLC0415

    device, cuda, rows = torch.device(device_name), device_name == "cuda", variant.rows
    make_rows(folder, [CLIP_SECONDS] * rows)
    with one_worker("nccl" if cuda else "gloo"):
        model = random_model(name, device)
        if variant.recomputed:
            model.checkpoint_activations()
        if variant.compiled:
            model.compile_layers()
        config = run_config(folder, recon=True, dtype="bfloat16", batch_rows=rows)
        collate = Collator(read_manifest(folder / "train.jsonl"), model.front, {}, block=True)
        batch, stage = collate([str(i) for i in range(rows)], ("recon",)), config.stages[0]
        flops = model_flops(model, batch)
        engine = Engine(model.train(), config, 1, device)
        engine.set_learning_rates(1.0, stage.active)
        taken = []
        for _ in range(WARMUP + steps):
            wait_for(device)
            start = time.perf_counter()
            train_step(engine, [batch], stage, stage.active)
            wait_for(device)
            taken.append(time.perf_counter() - start)
        engine.close()
    memory = torch.cuda.max_memory_allocated() if cuda else 0
    return statistics.median(taken[WARMUP:]), flops, _peak(device), memory


def random_backbone(name: str, device: torch.device) -> Qwen2AudioBackbone:
    """A base of a named size in bfloat16 with random weights, the same at each call, made on the device."""
    from coat_ray.model.backbones.qwen2_audio import Qwen2AudioBackbone  # noqa: PLC0415

    with _made_on(device):
        return Qwen2AudioBackbone(*make_student(SIZES[name]))


def random_model(name: str, device: torch.device) -> CoatModel:
    """A CoatModel on ``random_backbone``, with a head for the reconstruction."""
    from coat_ray.config import LoraSection, ProjectorConfig  # noqa: PLC0415

    backbone = random_backbone(name, device)
    with _made_on(device):
        teachers = {"recon": Teacher(backbone.hidden_size, "mse")}
        parts = LoraSection(), ProjectorConfig(num_heads=2), teachers, FocalSettings()
        return CoatModel(backbone, *parts, block=True)


@contextmanager
def _made_on(device: torch.device) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)


def model_flops(model: CoatModel, batch: Batch) -> float:
    """Floating-point operations that one step has to do, whatever it does twice.

    Per parameter and position a forward pass costs 2 and a backward pass 4, half of it for the weight's gradient
    (Kaplan et al. 2020, 2.1; MFU as in PaLM, Chowdhery et al. 2022, appendix B). Frozen weights have no gradient, so

        4 N_decoder tokens + 4 N_output answers + 6 N_lora tokens + 6 N_head thoughts + 2 N_tower frames

    with real tokens (no padding), response tokens, block positions, and the tower's positions at 50 Hz. Left out: the
    scores of attention, what activation checkpointing computes again, and the convolutions' higher rate.
    """
    backbone: Any = model.backbone
    layers = list(backbone.language_model.layers.parameters())
    tower = backbone.hf.model.audio_tower.layers.parameters()
    tokens = int(batch.attention_mask_BS.sum())
    frames = int(((batch.frames_N - 1) // 2 + 1).sum())
    return (
        4.0 * _count(p for p in layers if not p.requires_grad) * tokens
        + 4.0 * _count(backbone.lm_head.parameters()) * batch.num_response_tokens()
        + 6.0 * _count(p for p in layers if p.requires_grad) * tokens
        + 6.0 * _count(model.heads.parameters()) * int(batch.think_mask_BS.sum())
        + 2.0 * _count(tower) * frames
    )


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _peak(device: torch.device) -> float | None:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((flops for part, flops in PEAK_BF16.items() if part in name), None)
