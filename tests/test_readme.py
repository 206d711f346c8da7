"""Every command that the documents show exists, and the cheap ones run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coat_ray.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/analysis.md",
    "docs/evaluation.md",
    "docs/experts.md",
    "docs/hosting.md",
    "docs/platform.md",
    "docs/sweeps.md",
)
COAT = ".venv/bin/coat"
CHEAP = ("--help", "config show", "corpus show", "runs list", "models list")


def _commands(document: str) -> list[list[str]]:
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].partition(";")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`((?:make|\.venv/bin/)[^`]*)`", (ROOT / document).read_text())
    return [shlex.split(line) for line in [*lines, *inline] if line and "=…" not in line]


COMMANDS = [command for document in DOCUMENTS for command in _commands(document)]


def _calls(program: str) -> list[list[str]]:
    found = [command[1:] for command in COMMANDS if command[0] == program]
    return [list(call) for call in dict.fromkeys(map(tuple, found))]


def test_the_documents_show_the_commands_that_people_need():
    assert {"train", "test", "lint", "help"} <= {call[0] for call in _calls("make")}
    verbs = {call[0] for call in _calls(COAT)}
    assert {"ask", "config", "corpus", "encode", "evaluate", "experts", "models", "runs", "train"} <= verbs
    assert {"up", "down", "tenants", "keys", "usage", "audit", "login"} <= verbs


@pytest.mark.parametrize("call", _calls("make"), ids=" ".join)
def test_a_make_target_exists(call):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert call[0] in targets


@pytest.mark.parametrize("call", _calls(COAT), ids=" ".join)
def test_a_verb_and_its_options_exist(call):
    verb = [word for word in call[:2] if re.fullmatch(r"[a-z]+", word)]
    help_text = CliRunner().invoke(app, [*verb, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert help_text.exit_code == 0, help_text.output
    for option in (word for word in call if word.startswith("--")):
        assert option in help_text.output
    for path in (word for word in call if word.endswith(".yaml")):
        assert (ROOT / path).is_file()


@pytest.mark.parametrize("call", [c for c in _calls(COAT) if " ".join(c).startswith(CHEAP)], ids=" ".join)
def test_a_cheap_command_runs(call, coat_home):
    program = [sys.executable, "-m", "coat_ray.cli"]
    done = subprocess.run([*program, *call], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_make_help_lists_every_target():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE).group(1).split():
        assert f"make {target}\t" in done.stdout


@pytest.mark.parametrize("document", [*DOCUMENTS, "SECURITY.md", "docs/method.md", "docs/walk.md"])
def test_a_link_inside_the_repository_leads_somewhere(document):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / document).read_text())
    assert [link for link in links if not (ROOT / document).parent.joinpath(link).exists()] == []


def test_ci_runs_the_test_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()
    assert ["make", "test"] in _commands("README.md")


def test_the_submitted_job_exists():
    submitted = [command for command in COMMANDS if command[:3] == ["ray", "job", "submit"]]
    assert submitted
    for command in submitted:
        assert (ROOT / command[command.index("python") + 1]).is_file()
        assert (ROOT / command[command.index("--config") + 1]).is_file()
