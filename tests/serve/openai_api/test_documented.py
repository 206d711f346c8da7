"""What docs/serving.md shows is run as it stands, against the real server."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.inference.made import clip
from tests.serve.openai_api.conftest import Live, encoded

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"
ADDRESS = "http://127.0.0.1:8001"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[str]:
    """One command a line; a backslash at its end goes on."""
    lines = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith(program)]


@pytest.mark.parametrize("snippet", blocks("python"), ids=lambda text: text.splitlines()[0])
def test_a_snippet_runs(
    live: Live, snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COAT_API_KEY", live.keys["speech"])
    Path("clip.wav").write_bytes(encoded(clip(1)))
    exec(compile(snippet.replace(ADDRESS, live.url), str(PAGE), "exec"), {})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("command", commands("curl"))
def test_a_curl_command_runs(live: Live, command: str, tmp_path: Path) -> None:
    (tmp_path / "clip.wav").write_bytes(encoded(clip(1)))
    environment = {**os.environ, "COAT_API_KEY": live.keys["speech"]}
    line = command.replace(ADDRESS, live.url).replace("curl ", "curl --fail-with-body -sS ", 1)
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_both_kinds_are_shown_and_the_service_has_the_options_that_are_named() -> None:
    assert blocks("python")
    assert len(commands("curl")) >= 3
    [start] = {command.partition("#")[0].strip() for command in commands("python -m serve.openai.service")}
    options = [word for word in shlex.split(start) if word.startswith("--")]
    source = (PAGE.parents[1] / "serve" / "openai" / "service.py").read_text()
    assert options
    assert [option for option in options if f'"{option}"' not in source] == []
