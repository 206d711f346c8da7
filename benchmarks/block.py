"""What the thinking block costs: a step with it over a step without it, beside what its positions alone would cost."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.effort import Options
from benchmarks.measure import Line, apart
from benchmarks.sides import Job, ours
from benchmarks.student import make_rows, saved_student
from benchmarks.trainer import front_of
from coat_ray.training.lengths import row_lengths

ROWS = 4


def block(folder: Path, options: Options) -> list[Line]:
    """CoAT ÷ SFT at several lengths, with the answers' loss alone and with the reconstruction loss and its head.

    The bound is (2L + T) / (L + T) for L audio tokens and T text tokens. The tower, which both arms run once,
    and the output layer, which both run over the answers, push the ratio below it; attention, quadratic in length,
    pushes it up.
    """
    effort, corpus = options.effort, folder / "block"
    student = saved_student(folder, effort.block_student)
    manifest = make_rows(corpus, [seconds for seconds in effort.block_seconds for _ in range(ROWS)])
    names = [row.id for row in manifest.rows]
    groups = [tuple(names[start : start + ROWS]) for start in range(0, len(names), ROWS)]
    each = 1 + effort.block_steps  # the first at every length is not counted
    batches = tuple(group for group in groups for _ in range(each))

    def medians(**arm: object) -> list[float]:
        job = Job(student, corpus / "train.jsonl", batches, warmup=0, **arm)  # type: ignore[arg-type]
        taken = apart(ours, job).seconds
        return [statistics.median(taken[start + 1 : start + each]) for start in range(0, len(taken), each)]

    sft, coat, recon = medians(arm="sft"), medians(), medians(recon=True)
    front, lines = front_of(student), []
    lengths = row_lengths(manifest.rows, front)[::ROWS]
    for number, (seconds, whole) in enumerate(zip(effort.block_seconds, lengths, strict=True)):
        audio = front.audio_length(round(seconds * front.sample_rate))
        text = whole - 2 * audio - 2  # the block's two marks belong to neither
        bound = (2 * audio + text) / (audio + text)
        value = f"{coat[number] / sft[number]:.2f}, with reconstruction {recon[number] / sft[number]:.2f}"
        lines.append(Line(f"step CoAT ÷ SFT, clips of {seconds:g} s, {text} text tokens", value, f"bound {bound:.2f}"))
    return lines
