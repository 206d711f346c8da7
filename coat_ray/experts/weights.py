"""Where a teacher's weights come from, and how they are checked and loaded.

``embedded``: small weights of our own in the package (fp16 safetensors). ``official``: the published checkpoint, which
``coat experts pull`` puts into ``$COAT_HOME/cache/experts/``, verified by size and sha256 where these are known.
Anything else: a path. Pickles are opened with ``weights_only=True`` and a short list of inert stand-ins; a state dict
is loaded strictly, after dropping keys by a stated list.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.serialization import safe_globals

from coat_ray.experts.base import OfficialWeights
from coat_ray.storage import Storage, atomic_write

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
ABOUT = "coat_ray"
"""The one metadata entry of our own files; several would be written in any order."""

_PICKLED = (b"PK", b"\x80")  # how a checkpoint begins: a zip archive, or (older) a bare pickle

INERT = (
    "argparse.Namespace",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.dtypes.Float64DType",
    "numpy.dtypes.Int64DType",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
)
"""What training frameworks leave beside the tensors (options, meters); read as :class:`Nothing`, none of it runs."""


class WeightsError(ValueError):
    """Weights that are absent, damaged or of another model; the message says what to do."""


class Nothing:
    """Stands for an object of a pickle that nobody reads; takes any arguments and state, and keeps none."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


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
    sha256 = verify(path, official) if weights == "official" else digest(path)
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
    """State dict and metadata of a safetensors file or a checkpoint pickle (its ``model`` entry where it has one).

    Raises:
        WeightsError: a file that is damaged, holds no state dict, or holds more than tensors.
    """
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as handle:
                about = (handle.metadata() or {}).get(ABOUT, "{}")
            return load_file(path), json.loads(about)
        except SafetensorError as error:
            raise WeightsError(f"{path} is no whole safetensors file ({error}); bring it again") from error
    checkpoint = _unpickled(path)
    state = checkpoint.get("model", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds no state dict; give a checkpoint with tensors by name")
    return {_plain(key): value for key, value in state.items() if isinstance(value, Tensor)}, {}


def _unpickled(path: Path) -> Any:
    with path.open("rb") as file:
        if not file.read(2).startswith(_PICKLED):
            raise WeightsError(f"{path} is no PyTorch checkpoint, perhaps a page that a server sent; bring it again")
    try:
        with safe_globals([(Nothing, name) for name in INERT]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds Python objects besides tensors and is not opened, because a pickle can run code. Where you "
            f"trust it, take its 'model' entry out once, save it as safetensors, and give the path of that file"
        ) from error
    except Exception as error:  # a damaged pickle can lead torch's reader anywhere
        raise WeightsError(f"{path} is damaged ({type(error).__name__}: {error}); bring it again") from error


def save_embedded(path: Path, state: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write weights as fp16 safetensors, with *meta* as JSON in the header; equal weights give equal bytes."""
    halves = {k: (v.half() if v.is_floating_point() else v).contiguous().cpu() for k, v in state.items()}
    atomic_write(path, save(halves, metadata={ABOUT: json.dumps(meta, sort_keys=True)}))


def cache_folder() -> Path:
    """Where official checkpoints are looked for."""
    return Storage.default().cache / "experts"


def cached(official: OfficialWeights | None) -> Path | None:
    """Where an official checkpoint lies on this machine; None where it is absent."""
    path = cache_folder() / official.file if official else None
    return path if path is not None and path.is_file() else None


def _locate(name: str, weights: str, official: OfficialWeights) -> Path:
    if weights == "embedded":
        path, advice = EMBEDDED_FOLDER / f"{name}.safetensors", "give 'official' or the path of a checkpoint"
    elif weights == "official":
        path = cache_folder() / official.file
        known = f" ({official.size:,} bytes, sha256 {official.sha256})" if official.sha256 else ""
        advice = (
            f"run `coat experts pull {name}`, or bring {official.url}{known}, licence {official.licence}, from "
            f"elsewhere with `coat experts pull {name} --from FOLDER`"
        )
    else:
        path = Path(weights).expanduser()
        advice = "give 'embedded', 'official', or the path of a checkpoint file"
    if not path.is_file():
        raise WeightsError(f"{name}: no weights at {path}; {advice}")
    return path


def verify(path: Path, official: OfficialWeights) -> str:
    """The file's sha256, after a check of size and digest where the publisher states them.

    Raises:
        WeightsError: another size or digest.
    """
    size = path.stat().st_size
    if official.size is not None and size != official.size:
        raise WeightsError(f"{path} has {size:,} bytes instead of {official.size:,}; download {official.url} again")
    sha256 = digest(path)
    if official.sha256 is not None and sha256 != official.sha256:
        raise WeightsError(f"{path} has sha256 {sha256} instead of {official.sha256}; download {official.url} again")
    return sha256


def digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _plain(key: str) -> str:
    """Without the wrapper names that training frameworks put in front."""
    return key.removeprefix("module.").removeprefix("d2v_model.")


def _widen(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
