"""Corpora that ship inside the package, and the way from any corpus' name to its folder."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import zipfile
from importlib.resources import as_file, files
from pathlib import Path

from coat_ray.corpus.manifest import ManifestError
from coat_ray.storage import Storage

MANIFESTS = ("train.jsonl", "validation.jsonl", "test.jsonl")
BUILTIN = {"soundworld-mini": ("coat_ray.corpus.soundworld", "mini.zip")}
"""name -> (package, archive)"""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHARED = re.compile(rf"{_NAME.pattern}/{_NAME.pattern}")


def corpus_folder(name_or_path: str | Path, storage: Storage) -> Path:
    """Folder with train.jsonl, validation.jsonl and test.jsonl; a built-in corpus is unpacked at first use.

    A name means a built-in corpus, else one that is registered in this storage, ``owner/name`` one that is shared with
    its tenant; what is none of these is a path.

    Raises:
        ManifestError: none of these, or a folder without the three manifests.
    """
    name = str(name_or_path)
    if name in BUILTIN:
        return _unpacked(name, storage)
    folder = _registered(name, storage) or Path(name_or_path)
    if not folder.is_dir():
        raise ManifestError(
            f"no corpus {name!r}: give a built-in corpus ({', '.join(sorted(BUILTIN))}), a registered one "
            "(`coat corpora list`), or a folder"
        )
    missing = [manifest for manifest in MANIFESTS if not (folder / manifest).is_file()]
    if missing:
        raise ManifestError(f"corpus {folder} lacks {', '.join(missing)}")
    return folder


def _registered(name: str, storage: Storage) -> Path | None:
    """The folder of a corpus of the platform; its jobs have their tenant's root as storage."""
    if _NAME.fullmatch(name):
        folder = storage.corpora / name
    elif _SHARED.fullmatch(name):
        folder = storage.shared / "corpora" / name
    else:
        return None
    return folder if folder.is_dir() else None


def _unpacked(name: str, storage: Storage) -> Path:
    """Unpack under a temporary name and rename, so that two processes may ask at the same time."""
    package, archive = BUILTIN[name]
    with as_file(files(package).joinpath(archive)) as path, zipfile.ZipFile(path) as content:
        version = json.loads(content.read("world.json"))["version"]
        target = storage.corpora / f"{name}-{version}-{_digest(path)}"
        if target.is_dir():
            return target
        storage.corpora.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=storage.corpora))
        try:
            content.extractall(temporary)
            temporary.chmod(0o755)
            temporary.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]
