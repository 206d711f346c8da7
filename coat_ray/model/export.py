"""Take a trained model out of the platform: a PEFT adapter, or one merged checkpoint that plain transformers opens.

Both folders hold the tokenizer (with the block's tokens), the feature extractor, ``export.json`` (which class opens it
and how the block is placed) and ``ask.py``, a script that answers from the folder without coat_ray.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coat_ray.model import ask_exported
from coat_ray.model.backbones import EXPORT_FACTS
from coat_ray.model.block import BLOCK_TOKENS
from coat_ray.model.coat import CoatModel


def export_adapter(model: CoatModel, folder: Path) -> None:
    """Write LoRA and token rows in PEFT's format and, in files of their own, the heads.

    ``PeftModel.from_pretrained(base, folder)`` opens it on the base that it was trained on; a base without spare rows
    (Audio Flamingo 3) is first resized to the length of the exported tokenizer.

    Raises:
        FileExistsError: the folder is not empty.
    """
    _make(folder)
    model.save_adapter(folder)
    _describe(model, folder)


def export_merged(model: CoatModel, folder: Path) -> None:
    """Write the base with LoRA and token rows merged into it, in the model's dtype. The model is of no use afterwards.

    Raises:
        FileExistsError: the folder is not empty.
    """
    _make(folder)
    peft: Any = model.peft  # merging is a method of the tuner, which PEFT reaches through __getattr__
    peft.merge_and_unload().save_pretrained(folder)
    _describe(model, folder)


KINDS: dict[str, Callable[[CoatModel, Path], None]] = {"adapter": export_adapter, "merged": export_merged}


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; give a new folder")


def _describe(model: CoatModel, folder: Path) -> None:
    front = model.front
    front.save(folder)
    facts: dict[str, Any] = {
        "class": type(model.backbone.hf).__name__,
        "dtype": str(model.backbone.lm_head.weight.dtype).removeprefix("torch."),
        "placeholder": front.tokenizer.convert_ids_to_tokens(front.audio_id),
        "mask_argument": model.backbone.mask_argument,
        "block": list(BLOCK_TOKENS) if model.block else None,
    }
    (folder / EXPORT_FACTS).write_text(json.dumps(facts, indent=2))
    shutil.copyfile(ask_exported.__file__, folder / "ask.py")
