"""The latency study as the paper's two tables, the block beside its bound, and a plot. Pure functions of measurements.

Every mean is taken under one seed first; what is shown is mean ± standard deviation over the seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from coat_ray.evaluation.reports.figures import blank_figure, save_figure
from coat_ray.evaluation.reports.report import Table
from coat_ray.evaluation.studies.latency import (
    BLOCK_OFF,
    COAT,
    TEXT_COT,
    VANILLA,
    LatencyPlan,
    Measurement,
    PrefillCost,
    point_label,
    range_label,
)

QUANTITIES = ("ttft", "decode", "tokens", "total")
HEADERS = ("TTFT (ms)", "decode (ms)", "decoded tokens", "total (ms)")
OVER_SEEDS = "mean ± standard deviation over {} seeds; batch 1, nothing cached"
Spread = tuple[float, float]
"""(mean, standard deviation) over seeds."""


def model_table(measurements: Sequence[Measurement], plan: LatencyPlan) -> Table:
    """The paper's first table: each arm over all ranges."""
    labels = {range_label(bounds) for bounds in plan.ranges}
    inside = [m for m in measurements if m.label in labels]
    data = {arm: _spreads(_of(inside, arm)) for arm in _arms(inside)}
    rows = [(arm, *_cells(spreads)) for arm, spreads in data.items()]
    low, high = plan.ranges[0][0], plan.ranges[-1][1]
    title = f"Latency by model, clips of {low:g} to {high:g} s"
    return Table(title, ("model", *HEADERS), rows, [OVER_SEEDS.format(plan.seeds), *_cut_note(inside)], data)


def range_table(measurements: Sequence[Measurement], plan: LatencyPlan) -> Table:
    """The paper's second table: each arm by range of clip durations."""
    rows: list[tuple[str, ...]] = []
    data: dict[str, Any] = {}
    for bounds in plan.ranges:
        label = range_label(bounds)
        inside = [m for m in measurements if m.label == label]
        heard = statistics.fmean(m.heard for m in inside)
        spreads = {arm: _spreads(_of(inside, arm)) for arm in _arms(inside)}
        data[label] = {"heard_seconds": heard, **spreads}
        rows += [(label, f"{heard:.1f}", arm, *_cells(spreads[arm])) for arm in spreads]
    columns = ("clip", "heard (s)", "model", *HEADERS)
    notes = [OVER_SEEDS.format(plan.seeds), *_cut_note(measurements)]
    return Table("Latency by clip duration", columns, rows, notes, data)


def bound_table(measurements: Sequence[Measurement], plan: LatencyPlan, cost: PrefillCost) -> Table:
    """What the block adds, beside what its positions alone must cost; see ``latency.PrefillCost``."""
    data = {}
    for label in map(point_label, plan.points):
        data[label] = _bound_entry([m for m in measurements if m.label == label], cost)
    rows = [_bound_row(label, entry) for label, entry in data.items()]
    return Table("The block beside its bound", BOUND_HEADERS, rows, [*BOUND_NOTES, *_cut_note(measurements)], data)


BOUND_HEADERS = (
    *("clip", "L", "T", "positions", "prefill FLOPs", "TTFT bound", "TTFT ÷ vanilla", "TTFT ÷ block off"),
    *("prefill ÷ block off", "tokens CoAT, vanilla", "text-CoT total ÷ CoAT total"),
)
BOUND_NOTES = (
    "L audio tokens, T other tokens of the prompt; positions: (2L + 2 + T) / (L + T), what the block's L + 2 add",
    "prefill FLOPs: F(2L + 2 + T) / F(L + T), F(S) = 2 W S + 4 A S²; W: weights of the decoder's linear layers",
    "A: its query width over all layers",
    "TTFT bound: vanilla's TTFT with its prefill multiplied by that ratio and all else as it is, over vanilla's TTFT",
    "ratios are of medians under one seed, mean ± standard deviation over seeds",
    "block off: the same adapter without its block",
)


def plot(measurements: Sequence[Measurement], plan: LatencyPlan, out: Path) -> None:
    """Time to the first token and total time by clip duration, as PNG.

    Raises:
        DrawingError: matplotlib is not installed.
    """
    figure = blank_figure(10, 4)
    for ax, quantity, title in zip(
        figure.subplots(1, 2), ("ttft", "total"), ("time to first token", "total time"), strict=True
    ):
        for arm in _arms(measurements):
            points = []
            for bounds in plan.ranges:
                parts = [m for m in measurements if m.label == range_label(bounds) and m.arm == arm]
                points.append((sum(bounds) / 2, *_spread(parts, quantity)))
            x, y, error = zip(*points, strict=True)
            ax.errorbar(x, [1000 * v for v in y], [1000 * v for v in error], label=arm, marker="o", capsize=3)
        ax.set(title=title, xlabel="clip duration (s)", ylabel="ms", yscale="log")
        ax.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    figure.suptitle(OVER_SEEDS.format(plan.seeds), fontsize=9)
    save_figure(figure, out)


def _bound_entry(inside: Sequence[Measurement], cost: PrefillCost) -> dict[str, Any]:
    coat, vanilla, off, reasoned = (_of(inside, arm) for arm in (COAT, VANILLA, BLOCK_OFF, TEXT_COT))
    audio, text = vanilla[0].audio, vanilla[0].prompt - vanilla[0].audio
    flops = cost.ratio(audio, text)
    return {
        "audio_tokens": audio,
        "other_tokens": text,
        "heard_seconds": vanilla[0].heard,
        "positions_ratio": (2 * audio + 2 + text) / (audio + text),
        "prefill_flops_ratio": flops,
        "ttft_bound": _over_seeds(vanilla, lambda part: _ttft_bound(part, flops)),
        "ttft_over_vanilla": _ratio(coat, vanilla, "ttft"),
        "ttft_over_block_off": _ratio(coat, off, "ttft"),
        "prefill_over_block_off": _ratio(coat, off, "prefill"),
        "tokens": {part[0].arm: statistics.fmean(m.tokens for m in part) for part in (coat, vanilla)},
        "total_text_cot_over_coat": _ratio(reasoned, coat, "total"),
    }


def _bound_row(label: str, entry: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(entry["audio_tokens"]), str(entry["other_tokens"]))
    fixed = (f"{entry['positions_ratio']:.2f}", f"{entry['prefill_flops_ratio']:.2f}")
    ratios = ("ttft_bound", "ttft_over_vanilla", "ttft_over_block_off", "prefill_over_block_off")
    tokens = ", ".join(f"{value:g}" for value in entry["tokens"].values())
    last = entry["total_text_cot_over_coat"]
    return (label, *counts, *fixed, *(_plus(entry[k]) for k in ratios), tokens, _plus(last, 1))


def _ttft_bound(parts: Sequence[Measurement], ratio: float) -> float:
    ttft, prefill = (statistics.median(getattr(m, k) for m in parts) for k in ("ttft", "prefill"))
    return (ttft - prefill + prefill * ratio) / ttft


def _arms(measurements: Sequence[Measurement]) -> list[str]:
    found = {m.arm for m in measurements}
    return [arm for arm in (VANILLA, COAT, TEXT_COT, BLOCK_OFF) if arm in found]


def _of(measurements: Sequence[Measurement], arm: str) -> list[Measurement]:
    return [m for m in measurements if m.arm == arm]


def _spreads(parts: Sequence[Measurement]) -> dict[str, Spread]:
    return {quantity: _spread(parts, quantity) for quantity in QUANTITIES}


def _spread(parts: Sequence[Measurement], quantity: str) -> Spread:
    return _over_seeds(parts, lambda part: statistics.fmean(getattr(m, quantity) for m in part))


def _ratio(a: Sequence[Measurement], b: Sequence[Measurement], quantity: str) -> Spread:
    """Median of *a* over median of *b*, seed by seed."""

    def one(seed: int) -> float:
        medians = [statistics.median(getattr(m, quantity) for m in part if m.seed == seed) for part in (a, b)]
        return medians[0] / medians[1]

    return _mean_and_deviation([one(seed) for seed in sorted({m.seed for m in a})])


def _over_seeds(parts: Sequence[Measurement], value: Callable[[list[Measurement]], float]) -> Spread:
    seeds = sorted({m.seed for m in parts})
    return _mean_and_deviation([value([m for m in parts if m.seed == seed]) for seed in seeds])


def _mean_and_deviation(values: Sequence[float]) -> Spread:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _cells(spreads: dict[str, Spread]) -> list[str]:
    milliseconds = {k: (1000 * mean, 1000 * deviation) for k, (mean, deviation) in spreads.items()}
    return [_plus(spreads[k], 1) if k == "tokens" else _plus(milliseconds[k], 1) for k in QUANTITIES]


def _plus(spread: Spread, digits: int = 2) -> str:
    return f"{spread[0]:.{digits}f} ± {spread[1]:.{digits}f}"


def _cut_note(measurements: Sequence[Measurement]) -> list[str]:
    cut = [m for m in measurements if m.heard + 0.01 < m.seconds]
    return [f"clips longer than {cut[0].heard:g} s are cut there: the base hears no more of them"] if cut else []
