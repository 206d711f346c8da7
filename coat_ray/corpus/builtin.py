"""Corpora that ship inside the package, and the way from a corpus' name to its folder."""

from __future__ import annotations

import hashlib
import json
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


def corpus_folder(name_or_path: str | Path, storage: Storage) -> Path:
    """Folder with train.jsonl, validation.jsonl and test.jsonl; a built-in corpus is unpacked at first use.

    Raises:
        ManifestError: neither a built-in corpus nor a folder with the three manifests.
    """
    if str(name_or_path) in BUILTIN:
        return _unpacked(str(name_or_path), storage)
    folder = Path(name_or_path)
    if not folder.is_dir():
        raise ManifestError(
            f"no corpus {str(name_or_path)!r}: give a folder or a built-in corpus ({', '.join(sorted(BUILTIN))})"
        )
    missing = [manifest for manifest in MANIFESTS if not (folder / manifest).is_file()]
    if missing:
        raise ManifestError(f"corpus {folder} lacks {', '.join(missing)}")
    return folder


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
