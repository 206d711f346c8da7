"""``coat corpus`` builds, shows and explains."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from coat_ray.corpus.commands import app

runner = CliRunner()


def test_show_counts_the_built_in_corpus(coat_home: Path) -> None:
    done = runner.invoke(app, ["show", "--json"])
    assert done.exit_code == 0
    splits = json.loads(done.stdout)["splits"]
    assert set(splits) == {"train", "validation", "test"}
    assert splits["train"]["clips"] == 720
    assert sum(splits["test"]["tasks"].values()) == splits["test"]["rows"]
    table = runner.invoke(app, ["show"]).stdout
    assert "spoken_instruction" in table
    assert str(splits["test"]["rows"]) in table


def test_build_makes_a_corpus_that_show_reads(tmp_path: Path, coat_home: Path) -> None:
    out, archive = tmp_path / "world", tmp_path / "world.zip"
    done = runner.invoke(app, ["build", str(out), "--preset", "tiny", "--archive", str(archive)])
    assert done.exit_code == 0, done.output
    assert archive.stat().st_size > 10_000
    assert runner.invoke(app, ["show", str(out)]).exit_code == 0


def test_mistakes_are_explained(tmp_path: Path, coat_home: Path) -> None:
    unknown = runner.invoke(app, ["show", "sundworld"])
    assert unknown.exit_code == 1
    assert "soundworld-mini" in unknown.stderr
    existing = runner.invoke(app, ["build", str(tmp_path)])
    assert existing.exit_code == 1
    assert "exists already" in existing.stderr
    preset = runner.invoke(app, ["build", str(tmp_path / "new"), "--preset", "huge"])
    assert preset.exit_code == 1
    assert "mini" in preset.stderr
