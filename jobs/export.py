"""Take a trained model out of the platform: ``python jobs/export.py --model NAME --kind merged --to FOLDER``.

``adapter`` is for plain ``peft``, ``merged`` for plain ``transformers``; see docs/export.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from coat_ray.config import BackboneConfig
from coat_ray.model.coat import CoatModel
from coat_ray.model.export import KINDS
from coat_ray.registry.models import ModelNotFound, ModelRegistry
from coat_ray.storage import Storage


def main() -> None:
    """Parse, export, say what was written and under which licence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a registered name, alias, or name@version")
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--to", type=Path, required=True, help="a new or empty folder")
    arguments = parser.parse_args()
    try:
        said = run(arguments.model, arguments.kind, arguments.to, ModelRegistry(Storage.default()))
    except (ValueError, OSError, ModelNotFound) as error:  # each says what to do
        raise SystemExit(str(error)) from error
    Console(soft_wrap=True, highlight=False).print(said, markup=False)


def run(name: str, kind: str, folder: Path, registry: ModelRegistry) -> str:
    """Export one model with its record; returns one line about it."""
    record = registry.resolve(name)
    model = CoatModel.load(BackboneConfig(**record.base), registry.adapter_folder(record))
    KINDS[kind](model, folder)
    (folder / "record.json").write_text(record.model_dump_json(indent=2))
    use = "commercial use" if record.commercial_use else f"no commercial use ({', '.join(record.restricted_by)})"
    return f"{record.ref} as {kind} in {folder}; base {record.base['weights']}, licence {record.licence}, {use}"


if __name__ == "__main__":
    main()
