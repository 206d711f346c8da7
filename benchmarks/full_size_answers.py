"""What the block costs an answer at the published size: our engine with random weights, one request at a time."""

from __future__ import annotations

import gc
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.effort import Options
from benchmarks.full_size import random_backbone, random_model
from benchmarks.measure import Line, apart
from benchmarks.student import make_rows
from coat_ray.evaluation.studies import latency, latency_report

SEEDS = 2
CLIPS = 1
"""Of each length under each seed."""
ANSWER, REASONING = 16, 32
"""Tokens of every answer, and of the reasoning before it in text."""


def answers(folder: Path, options: Options) -> list[Line]:
    """Time to the first token with the block and without, beside the bound, and reasoning in text over the block."""
    name = options.effort.gpu_student
    if options.device == "cpu" and name != "tiny":
        return [Line(f"TTFT with the block / without, {name}", "not run: needs --device cuda", "-")]
    lengths = options.effort.block_seconds
    entries = apart(measured, folder / "answers", name, options.device, lengths)
    lines = []
    for seconds, entry in zip(lengths, entries, strict=True):
        bound, ratio, total = (entry[key][0] for key in ("ttft_bound", "ttft_over_vanilla", "total_text_cot_over_coat"))
        first, prefill, whole = entry["milliseconds"]
        said = f"{ratio:.2f} (TTFT {first:.0f} ms, of it prefill {prefill:.0f}; without the block {whole:.0f} ms)"
        lines += [
            Line(f"TTFT with the block / without, {name}, {seconds:g} s", said, f"bound {bound:.2f}"),
            Line(f"whole answer, reasoning in text / block, {seconds:g} s", f"{total:.2f}", "-"),
        ]
    return lines


def measured(folder: Path, name: str, device_name: str, lengths: tuple[float, ...]) -> list[dict[str, Any]]:
    """For each length the entry of ``latency_report.bound_table``, and medians of CoAT's and vanilla's times."""
    from coat_ray.config import BackboneConfig  # noqa: PLC0415 - only in the process that measures
    from coat_ray.evaluation.studies.latency_study import ONE_AT_A_TIME  # noqa: PLC0415
    from coat_ray.inference.engine import Engine  # noqa: PLC0415
    from coat_ray.inference.requests import AdapterSource  # noqa: PLC0415

    device = torch.device(device_name)
    random_model(name, device).save_adapter(folder / "adapter")
    gc.collect()
    backbone = random_backbone(name, device)
    plan = latency.LatencyPlan((), lengths, SEEDS, CLIPS, answer_tokens=ANSWER, reasoning_tokens=REASONING)
    clips = latency.ClipMaker(make_rows(folder, [10.0] * 4), backbone.front.sample_rate)
    cost = latency.PrefillCost.of(backbone)
    arms = latency.arms_of(AdapterSource("random", folder / "adapter"))
    with Engine(backbone, BackboneConfig(weights=name, dtype="bfloat16"), ONE_AT_A_TIME) as engine:
        found = latency.measure(engine, arms, clips, plan)
    entries = latency_report.bound_table(found, plan, cost).data
    return [entries[latency.point_label(s)] | {"milliseconds": _times(found, latency.point_label(s))} for s in lengths]


def _times(found: list[latency.Measurement], label: str) -> tuple[float, float, float]:
    """Milliseconds of CoAT: to the first token, and of it prefill; of vanilla to the first token."""
    coat, vanilla = ([m for m in found if (m.label, m.arm) == (label, arm)] for arm in (latency.COAT, latency.VANILLA))
    ttft, prefill = (statistics.median(getattr(m, key) for m in coat) for key in ("ttft", "prefill"))
    return 1000 * ttft, 1000 * prefill, 1000 * statistics.median(m.ttft for m in vanilla)
