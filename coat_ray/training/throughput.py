"""How fast a step was and what it cost: what a log line says about the machine, not about the method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from coat_ray.config import RECON
from coat_ray.model.batch import Batch
from coat_ray.targets.align import BLOCK_RATE

MIB = 2**20
KIB_IN_MIB = 1024

CLOCKED = ("seconds", "wait_share", "rows_per_second", "audio_hours_per_hour", "peak_rss_mib", "peak_gpu_mib")
"""Keys of a line that depend on the machine, so that two equal runs differ in them."""


def workload(batch: Batch) -> dict[str, Tensor | int | float]:
    """What one worker computes in one step; tensors stay on the device.

    ``real_tokens`` are positions of the batch's rows, ``padded_tokens`` all positions computed (a silent row that was
    added included). ``audio_seconds`` counts what sounds, without the silence behind a short clip.
    """
    real = batch.attention_mask_BS[: len(batch.row_ids)]
    sounding = batch.target_masks.get(RECON)
    positions = batch.lengths_N if sounding is None else sounding
    return {
        "real_tokens": real.sum(dtype=torch.float64),
        "padded_tokens": batch.attention_mask_BS.numel(),
        "audio_seconds": positions.sum(dtype=torch.float64) / BLOCK_RATE,
    }


def speed(line: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Rates of a log line that took *seconds*: rows a second, and hours of audio trained in an hour."""
    seconds = max(seconds, 1e-9)
    return {"rows_per_second": line["rows"] / seconds, "audio_hours_per_hour": line["audio_seconds"] / seconds}


def peak_memory(device: torch.device) -> dict[str, float]:
    """Peak memory in MiB of the worker that needed most since it started. Every worker must call it.

    ``peak_rss_mib`` is resident memory of the process (Linux), ``peak_gpu_mib`` is what PyTorch allocated on a GPU.
    """
    peaks = {"peak_rss_mib": _peak_rss()}
    if device.type == "cuda":
        peaks["peak_gpu_mib"] = torch.cuda.max_memory_allocated(device) / MIB
    largest = torch.tensor(list(peaks.values()), dtype=torch.float64, device=device)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return dict(zip(peaks, largest.tolist(), strict=True))


def _peak_rss() -> float:
    """The kernel's high-water mark; ``getrusage`` would count the process that this one was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / KIB_IN_MIB
