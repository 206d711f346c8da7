"""Where a teacher's weights come from, and how they are checked and loaded.

``embedded``: small weights of our own in the package (fp16 safetensors). ``official``: the published checkpoint, put by
hand into ``$COAT_HOME/cache/experts/`` and verified by size and sha256 where these are known. Anything else: a path.
Pickles are opened with ``weights_only=True``; a state dict is loaded strictly, after dropping keys by a stated list.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from coat_ray.storage import Storage, atomic_write

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
ABOUT = "coat_ray"
"""The one metadata entry of our own files; several would be written in any order."""


class WeightsError(ValueError):
    """Weights that are absent, damaged or of another model; the message says what to do."""


@dataclass(frozen=True)
class OfficialWeights:
    """A published checkpoint: its file name in the cache, where it is published, and what it must look like."""

    file: str
    url: str
    licence: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class LoadedWeights:
    """A state dict (float32), its digest, and what the file says about itself."""

    path: Path
    state: dict[str, Tensor]
    sha256: str
    meta: dict[str, Any]
    origin: str

    @property
    def embedded(self) -> bool:
        """Whether these have the embedded width rather than the official size."""
        return self.meta.get("size") == "embedded"

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under ``prefix.``, without it."""
        return {k.removeprefix(prefix + "."): v for k, v in self.state.items() if k.startswith(prefix + ".")}


def load_weights(name: str, weights: str, official: OfficialWeights) -> LoadedWeights:
    """Find, verify and read the weights that a configuration names.

    Raises:
        WeightsError: nothing there, another size or digest, or a file that holds more than tensors.
    """
    path = _locate(name, weights, official)
    sha256 = _sha256(path)
    if weights == "official":
        _verify(path, sha256, official)
    state, meta = read_state(path)
    return LoadedWeights(path, {k: _widen(v) for k, v in state.items()}, sha256, meta, origin=weights)


def load_strict(module: nn.Module, state: dict[str, Tensor], dropped: tuple[str, ...], origin: Path) -> None:
    """Load *state* into *module*, every key accounted for; keys that start with one of *dropped* are training's only.

    Raises:
        WeightsError: keys that are missing, unknown or of another shape, a few of each named.
    """
    kept = {key: value for key, value in state.items() if not key.startswith(dropped)}
    wanted = module.state_dict()
    problems = {
        "missing": sorted(wanted.keys() - kept.keys()),
        "unknown": sorted(kept.keys() - wanted.keys()),
        "of another shape": sorted(k for k in kept.keys() & wanted.keys() if kept[k].shape != wanted[k].shape),
    }
    if any(problems.values()):
        said = "; ".join(f"{len(keys)} {what} ({', '.join(keys[:3])})" for what, keys in problems.items() if keys)
        raise WeightsError(f"{origin} does not fit {type(module).__name__}: {said}")
    module.load_state_dict(kept, strict=True)


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and metadata of a safetensors file or a checkpoint pickle (its ``model`` entry where it has one)."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as handle:
            about = (handle.metadata() or {}).get(ABOUT, "{}")
        return load_file(path), json.loads(about)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds Python objects besides tensors and is not opened, because a pickle can run code. Where you "
            f"trust it, take its 'model' entry out once, save it as safetensors, and give the path of that file"
        ) from error
    state = checkpoint.get("model", checkpoint)
    return {_plain(key): value for key, value in state.items() if isinstance(value, Tensor)}, {}


def save_embedded(path: Path, state: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write weights as fp16 safetensors, with *meta* as JSON in the header; equal weights give equal bytes."""
    halves = {k: (v.half() if v.is_floating_point() else v).contiguous().cpu() for k, v in state.items()}
    atomic_write(path, save(halves, metadata={ABOUT: json.dumps(meta, sort_keys=True)}))


def cache_folder() -> Path:
    """Where official checkpoints are looked for."""
    return Storage.default().cache / "experts"


def _locate(name: str, weights: str, official: OfficialWeights) -> Path:
    if weights == "embedded":
        path, advice = EMBEDDED_FOLDER / f"{name}.safetensors", "run jobs/pretrain.py to make the embedded weights"
    elif weights == "official":
        path = cache_folder() / official.file
        known = f" ({official.size:,} bytes, sha256 {official.sha256})" if official.sha256 else ""
        advice = f"download {official.url}{known}, licence {official.licence}, to {path}; or give the path of a copy"
    else:
        path = Path(weights).expanduser()
        advice = "give 'embedded', 'official', or the path of a checkpoint file"
    if not path.is_file():
        raise WeightsError(f"{name}: no weights at {path}; {advice}")
    return path


def _verify(path: Path, sha256: str, official: OfficialWeights) -> None:
    size = path.stat().st_size
    if official.size is not None and size != official.size:
        raise WeightsError(f"{path} has {size:,} bytes instead of {official.size:,}; download {official.url} again")
    if official.sha256 is not None and sha256 != official.sha256:
        raise WeightsError(f"{path} has sha256 {sha256} instead of {official.sha256}; download {official.url} again")


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _plain(key: str) -> str:
    """Without the wrapper names that training frameworks put in front."""
    return key.removeprefix("module.").removeprefix("d2v_model.")


def _widen(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
