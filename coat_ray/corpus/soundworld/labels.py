"""What is true of each clip of a SoundWorld corpus, drawn again from its card: rows ask about some of it only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coat_ray.corpus.manifest import ManifestError, Row, read_manifest
from coat_ray.corpus.soundworld.build import VERSION, plan_clips
from coat_ray.corpus.soundworld.facts import ClipFacts, sample_clip
from coat_ray.corpus.soundworld.plan import PRESETS
from coat_ray.corpus.soundworld.questions import SKILLS
from coat_ray.corpus.soundworld.splits import Split

CARD = "world.json"


def clip_facts(folder: Path, split: Split) -> dict[str, ClipFacts]:
    """Clip URI, as in the manifest -> its facts, for every clip of a split.

    Raises:
        ManifestError: no SoundWorld corpus, one of another version or of sizes of its own, or one whose answers
            contradict the facts.
    """
    card = _card(folder)
    rows = read_manifest(folder / f"{split}.jsonl").rows
    jobs = {job.name: job for job in plan_clips(split, PRESETS[card["preset"]], card["seed"])}
    facts: dict[str, ClipFacts] = {}
    for row in rows:
        for uri in row.audios:
            job = jobs.get(Path(uri).stem)
            if job is None:
                raise ManifestError(f"{folder}: {uri} is no clip of {card['name']}")
            if uri not in facts:
                facts[uri] = sample_clip(job.split, job.kind, job.rng())
            _check(row, facts[uri])
    return facts


def _card(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / CARD).read_text())
        preset = card["name"].removeprefix("soundworld-")
        known = preset in PRESETS and card["version"] == VERSION
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ManifestError(f"{folder} is no SoundWorld corpus: its {CARD} is missing or damaged") from error
    if not known:
        raise ManifestError(
            f"{folder}: facts can be drawn again for version {VERSION} in the sizes {', '.join(sorted(PRESETS))}; this "
            f"is {card['name']} of version {card['version']}"
        )
    return {**card, "preset": preset}


_SKILLS = {name: skill for task, name, skill in SKILLS if task != "multiple_choice"}


def _check(row: Row, facts: ClipFacts) -> None:
    """Refuse facts that were drawn otherwise than the row's answer."""
    skill = _SKILLS.get(str(row.meta.get("skill")))
    if skill is None:
        return
    asked = skill(facts)
    if asked is None or asked[1] != row.answer:
        raise ManifestError(f"row {row.id}: its answer is {row.answer!r}, and the card says {asked and asked[1]!r}")
