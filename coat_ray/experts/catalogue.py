"""What is known of every teacher without loading its official weights: facts, terms, and whether they are here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coat_ray.experts.base import ExpertSpec, OfficialWeights
from coat_ray.experts.registry import EXPERTS, expert_class
from coat_ray.experts.weights import EMBEDDED_FOLDER


@dataclass(frozen=True)
class Entry:
    """One teacher: its official facts, the published file where there is one, and where that lies (None: absent)."""

    name: str
    spec: ExpertSpec
    official: OfficialWeights | None
    path: Path | None
    obtain: str

    @property
    def size(self) -> int | None:
        """Bytes of the official file: as it lies here, else as published; None where nobody says."""
        if self.path is not None:
            return self.path.stat().st_size
        return self.official.size if self.official else None

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``embedded`` says whether weights: embedded works with what is installed."""
        ships = (EMBEDDED_FOLDER / f"{self.name}.safetensors").is_file()
        facts = self.spec.to_json()
        labels = list(facts.pop("labels"))
        return {
            **facts,
            "name": self.name,
            "classes": len(labels),
            "size": self.size,
            "sha256": self.official.sha256 if self.official else None,
            "cached": self.path is not None,
            "path": str(self.path) if self.path else None,
            "embedded": ships or (self.official is None and self.path is not None),
            "obtain": f"coat experts pull {self.name}" if self.official else self.obtain,
            "labels": labels,
        }


def entry(name: str) -> Entry:
    """One teacher by name.

    Raises:
        ValueError: an unknown name; its nearest neighbour is named.
    """
    found = expert_class(name)
    return Entry(name, found.official_spec(), found.official, found.official_path(), found.obtain)


def catalogue() -> list[Entry]:
    """Every registered teacher, in the registry's order."""
    return [entry(name) for name in EXPERTS]
