"""What an evaluation kept."""

from __future__ import annotations

import json
from pathlib import Path

from coat_ray.evaluation.asking.answers import Answer


def read_answers(path: Path) -> list[Answer]:
    """All answers of a file, in the order in which they were given."""
    with path.open(encoding="utf-8") as lines:
        next(lines)
        return [Answer(**json.loads(line)) for line in lines]
