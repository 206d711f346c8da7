"""An adapter on disk, read and checked: its LoRA and the three rows of its block's tokens.

Shapes: D hidden size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from coat_ray.inference.errors import AdapterRefused
from coat_ray.inference.requests import AdapterSource
from coat_ray.model.backbones.base import Backbone

WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_ROWS = "embed_tokens.token_adapter.trainable_tokens_delta"


@dataclass(frozen=True)
class AdapterFiles:
    """What an adapter's folder holds, on the CPU.

    ``lora`` has the names of the model's layers, ``….q_proj.lora_A.weight``. ``rows_3D``: its block's token rows; None
    if it was trained without a block.
    """

    config: LoraConfig
    lora: dict[str, Tensor]
    rows_3D: Tensor | None


def trained_with_block(folder: Path) -> bool:
    """Whether an adapter knows the thinking block.

    Raises:
        AdapterRefused: the folder has no readable ``heads.json``.
    """
    try:
        return bool(json.loads((folder / "heads.json").read_text())["block"])
    except (OSError, ValueError, KeyError) as error:
        raise AdapterRefused("its heads.json is missing or damaged") from error


def read_adapter(source: AdapterSource, backbone: Backbone) -> AdapterFiles:
    """Read an adapter and check its token rows; whether its LoRA fits the base, ``LoraLayers.check`` says.

    Args:
        source: which.
        backbone: the base, of which only the shapes count.

    Raises:
        AdapterRefused: files that are missing or damaged, or a block that is not this base's.
    """
    try:
        config = LoraConfig.from_pretrained(str(source.folder))
        tensors = load_file(source.folder / WEIGHTS_FILE)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise AdapterRefused(f"{source.key}: its files are missing or damaged") from error
    lora = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    found = [name for name in lora if name.endswith(_ROWS)]
    rows = lora.pop(found[0]) if found else None
    try:
        _check_rows(source, config, rows, backbone)
    except AdapterRefused as refused:
        raise AdapterRefused(f"{source.key}: {refused}") from refused
    return AdapterFiles(config, lora, rows)


def weight_bytes(folder: Path) -> int:
    """Bytes of an adapter's tensors: what stands behind the header of its file; raises OSError."""
    file = folder / WEIGHTS_FILE
    with file.open("rb") as opened:
        header = int.from_bytes(opened.read(8), "little")
    return file.stat().st_size - 8 - header


def _check_rows(source: AdapterSource, config: LoraConfig, rows: Tensor | None, backbone: Backbone) -> None:
    if trained_with_block(source.folder) != (rows is not None):
        raise AdapterRefused("heads.json and the weights disagree on whether it was trained with a block")
    if rows is None:
        return
    ids = backbone.front.block_ids.as_list()
    trained = config.trainable_token_indices
    if trained != {"embed_tokens": ids}:
        raise AdapterRefused(f"it trained the token rows {trained}, and this base has its block's at {ids}")
    if rows.shape != (len(ids), backbone.hidden_size) or not rows.isfinite().all():
        raise AdapterRefused(f"its token rows have shape {tuple(rows.shape)}, or values that are not finite")
