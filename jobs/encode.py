"""Make the targets that a run's experts still lack: ``python jobs/encode.py --config CONFIG [key.sub=value …]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from coat_ray.cluster import connect
from coat_ray.config import RunConfig, load_config
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.storage import Storage
from coat_ray.targets.corpus import encode_run
from coat_ray.targets.pipeline import EncodeError
from coat_ray.targets.report import LineProgress
from coat_ray.targets.store import TargetStore


def main() -> None:
    """Parse, encode, print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the run: corpus, experts, resources")
    parser.add_argument("overrides", nargs="*", help="key.sub=value")
    arguments = parser.parse_args()
    try:
        run(load_config(arguments.config, RunConfig, arguments.overrides), Console())
    except (ValueError, EncodeError) as error:  # configuration, manifest, weights, cluster: each says what to do
        raise SystemExit(str(error)) from error


def run(config: RunConfig, console: Console) -> None:
    """Encode the corpus of *config* and show the report."""
    storage = Storage.default()
    corpus = corpus_folder(config.corpus.name, storage)
    with connect():
        report = encode_run(config, corpus, TargetStore(storage.targets), LineProgress(console))
    report.print(console)
    console.print(f"targets: {storage.targets}")


if __name__ == "__main__":
    main()
