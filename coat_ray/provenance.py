"""Fingerprints, git state and versions: what makes a result traceable."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

PACKAGES = ("coat-ray", "torch", "ray", "transformers", "peft", "deepspeed", "numpy", "onnxruntime")

DIRTY = "-dirty"
"""Ending of ``$COAT_GIT_COMMIT`` when the working tree held changes, as in ``git describe --dirty``."""


def fingerprint(obj: Any) -> str:
    """Sha256 hex of the canonical JSON of plain data, pydantic models and paths; key order does not matter.

    Raises:
        TypeError: something that has no canonical JSON, e.g. a set or a function.
        ValueError: NaN or infinity.
    """
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no fingerprint for a {type(value).__name__}: give plain data, a pydantic model or a path")


def git_state(folder: Path | None = None) -> dict[str, Any] | None:
    """``{"commit", "dirty"}`` of the repository around *folder* (default: the working directory).

    ``$COAT_GIT_COMMIT`` wins: a Ray job runs in a copy that has no ``.git``, so whoever submits it says where it
    came from. None where there is neither.
    """
    stated = os.environ.get("COAT_GIT_COMMIT")
    if stated:
        return {"commit": stated.removesuffix(DIRTY), "dirty": stated.endswith(DIRTY)}
    commit = _git("rev-parse", "HEAD", folder=folder)
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(_git("status", "--porcelain", folder=folder))}


def git_label(folder: Path | None = None) -> str | None:
    """The git state as one word for ``$COAT_GIT_COMMIT``."""
    state = git_state(folder)
    return f"{state['commit']}{DIRTY if state['dirty'] else ''}" if state else None


def _git(*arguments: str, folder: Path | None) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed program, arguments from this file
            ["git", *arguments],  # noqa: S607 - the user's own git
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Python's version and those of the installed packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
