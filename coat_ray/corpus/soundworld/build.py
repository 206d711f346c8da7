"""Write a SoundWorld corpus: three manifests, their clips and a card, in one go or not at all."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rich.progress import track

from coat_ray.corpus.manifest import AUDIO_MARK, Message, Row, write_manifest
from coat_ray.corpus.soundworld.facts import Kind, sample_clip
from coat_ray.corpus.soundworld.instructions import HELD_OUT_FORMS, SHARED_FORMS, sample_instruction
from coat_ray.corpus.soundworld.plan import PRESETS, Sizes, choose, count_by
from coat_ray.corpus.soundworld.questions import QA, ask
from coat_ray.corpus.soundworld.render import SAMPLE_RATE, render
from coat_ray.corpus.soundworld.splits import SPLITS, TIMBRES, VOICES, Split

VERSION = "2"
LICENCE = "Apache-2.0"
OPUS_COMPRESSION = 0.975
"""libsndfile's scale; gives about 16 kbit/s at 16 kHz mono."""


@dataclass(frozen=True)
class ClipJob:
    """One clip to make: *index* counts the clips of a split, *turn* those of a kind."""

    split: Split
    kind: Kind
    index: int
    turn: int
    seed: int

    @property
    def name(self) -> str:
        """File name without its ending."""
        return f"{self.split}-{self.index:05d}"

    def rng(self) -> np.random.Generator:
        """What its facts, and then its questions, are drawn from."""
        return np.random.default_rng([self.seed, SPLITS.index(self.split), self.index])


def build_corpus(
    out: Path | str, preset: str | Sizes = "mini", seed: int = 1, workers: int = 1, *, progress: bool = True
) -> dict[str, Any]:
    """Make a corpus under *out*; the folder appears only when all of it is written.

    Args:
        out: folder to make; it must not exist.
        preset: a name in ``plan.PRESETS``, or sizes of your own.
        seed: the same seed gives the same facts, questions and signals.
        workers: processes that render.
        progress: show a progress bar.

    Returns:
        The card, as in ``world.json``.

    Raises:
        ValueError: unknown preset. FileExistsError: *out* exists. SpeechUnavailableError: no eSpeak NG.
    """
    out = Path(out)
    if isinstance(preset, str) and preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}: choose one of {', '.join(sorted(PRESETS))}")
    if out.exists():
        raise FileExistsError(f"{out} exists already: remove it or give another folder")
    sizes = PRESETS[preset] if isinstance(preset, str) else preset
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        card = _write(temporary, sizes, seed, workers, progress)
        temporary.chmod(0o755)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return card


def pack(folder: Path | str, archive: Path | str) -> int:
    """Put a corpus into one zip file, as it ships in the package; gives its size in bytes."""
    folder, archive = Path(folder), Path(archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as content:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())  # without a date: equal input, equal bytes
            entry.external_attr = 0o644 << 16
            packed = zipfile.ZIP_STORED if path.suffix in {".opus", ".flac"} else zipfile.ZIP_DEFLATED
            content.writestr(entry, path.read_bytes(), packed)
    return archive.stat().st_size


def _write(folder: Path, sizes: Sizes, seed: int, workers: int, progress: bool) -> dict[str, Any]:
    (folder / "clips").mkdir()
    jobs = [job for split in SPLITS for job in plan_clips(split, sizes, seed)]
    rows: dict[Split, list[Row]] = {split: [] for split in SPLITS}
    for job, made in zip(jobs, _made(jobs, folder / "clips", sizes.codec, workers, progress), strict=True):
        rows[job.split] += made
    for split in SPLITS:
        rows[split] += _text_rows(split, sizes.text_rows[split], seed)
        write_manifest(rows[split], folder / f"{split}.jsonl")
    card = _card(seed, sizes, jobs, rows)
    (folder / "world.json").write_text(json.dumps(card, indent=2) + "\n")
    return card


def plan_clips(split: Split, sizes: Sizes, seed: int) -> list[ClipJob]:
    """All clips of a split in a shuffled order, so that any head of the manifest holds every kind."""
    wanted = [(kind, turn) for kind, count in sizes.clips[split].items() for turn in range(count)]
    order = np.random.default_rng([seed, SPLITS.index(split)]).permutation(len(wanted))
    shuffled = [wanted[int(place)] for place in order]
    return [ClipJob(split, kind, index, turn, seed) for index, (kind, turn) in enumerate(shuffled)]


def _made(jobs: list[ClipJob], clips: Path, codec: str, workers: int, progress: bool) -> Iterable[list[Row]]:
    make = partial(make_clip, folder=clips, codec=codec)
    show = partial(track, description="making clips", total=len(jobs), disable=not progress)
    if workers == 1:
        yield from show(map(make, jobs))
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from show(pool.map(make, jobs, chunksize=16))


def make_clip(job: ClipJob, folder: Path, codec: str) -> list[Row]:
    """Draw, render and write one clip; gives its rows."""
    rng = job.rng()
    facts = sample_clip(job.split, job.kind, rng)
    signal = render(facts)
    path = folder / f"{job.name}.{codec}"
    if codec == "opus":
        soundfile.write(path, signal, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=OPUS_COMPRESSION)
    else:
        soundfile.write(path, signal, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    seconds = round(len(signal) / SAMPLE_RATE, 3)
    uri = f"{folder.name}/{path.name}"
    return [_row(job, qa, uri, seconds) for qa in choose(job.kind, job.turn, ask(facts, rng))]


def _row(job: ClipJob, qa: QA, uri: str, seconds: float) -> Row:
    return Row(
        id=f"{job.name}-{qa.skill}",
        messages=_turns(f"{AUDIO_MARK}\n{qa.question}", qa.answer),
        audios=(uri,),
        task=qa.task,
        dataset="soundworld",
        licence=LICENCE,
        seconds=seconds,
        meta={"kind": job.kind, "skill": qa.skill},
    )


def _turns(question: str, answer: str) -> tuple[Message, ...]:
    return Message(role="user", content=question), Message(role="assistant", content=answer)


def _text_rows(split: Split, count: int, seed: int) -> list[Row]:
    """Distinct instructions in writing; the shared forms, which have few members, only train."""
    rng = np.random.default_rng([seed, SPLITS.index(split), 2**31])
    forms = HELD_OUT_FORMS + (SHARED_FORMS if split == "train" else ())
    rows: dict[str, Row] = {}
    while len(rows) < count:
        instruction = sample_instruction(forms[int(rng.integers(len(forms)))], split, rng)
        rows.setdefault(
            instruction.words,
            Row(
                id=f"{split}-text-{len(rows):05d}",
                messages=_turns(instruction.words, instruction.answer),
                task="text",
                dataset="soundworld",
                licence=LICENCE,
                meta={"kind": "text", "skill": instruction.form},
            ),
        )
    return list(rows.values())


def _card(seed: int, sizes: Sizes, jobs: list[ClipJob], rows: dict[Split, list[Row]]) -> dict[str, Any]:
    seconds = {row.audios[0]: row.seconds or 0.0 for split in SPLITS for row in rows[split] if row.audios}
    return {
        "name": f"soundworld-{sizes.name}",
        "version": VERSION,
        "seed": seed,
        "licence": LICENCE,
        "sample_rate": SAMPLE_RATE,
        "codec": sizes.codec,
        "seconds": round(sum(seconds.values()), 1),
        "splits": {
            split: {
                "clips": count_by([job.kind for job in jobs if job.split == split]),
                "rows": count_by([str(row.task) for row in rows[split]]),
                "voices": [asdict(voice) for voice in VOICES[split]],
                "timbres": TIMBRES[split],
            }
            for split in SPLITS
        },
    }
