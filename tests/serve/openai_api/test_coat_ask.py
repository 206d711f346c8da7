"""``coat ask`` asks the models of a configured platform."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inference.made import clip
from tests.serve.openai_api.conftest import Live, encoded


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    file = tmp_path / "clip.wav"
    file.write_bytes(encoded(clip(1)))
    return file


@pytest.fixture
def configured(live: Live, coat_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COAT_PLATFORM", live.url)
    monkeypatch.setenv("COAT_API_KEY", live.keys["speech"])


@pytest.mark.usefixtures("configured")
def test_a_hosted_model_answers_with_its_timings(coat: Callable[..., tuple[int, str, str]], sound: Path) -> None:
    code, out, error = coat("ask", sound, "what sound is heard?", "--model", "base", "--timings")
    assert (code, error) == (0, "")
    assert "first token" in out.splitlines()[-1]
    code, out, _ = coat("ask", sound, "what sound is heard?", "--model", "base", "--json")
    assert code == 0
    assert json.loads(out)["coat"]["timings"]["cached_clips"] == 1  # it was heard a moment ago


@pytest.mark.usefixtures("configured")
def test_what_the_platform_refuses_is_one_sentence(coat: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    code, out, error = coat("ask", broken, "what sound is heard?", "--model", "base")
    assert (code, out) == (1, "")
    assert error.startswith("coat: messages.0.content.0: ")
    assert error.count("\n") == 1
