"""Ask an exported model about a clip of up to 30 s: transformers (and peft for an adapter), nothing of coat_ray.

    python ask.py FOLDER CLIP.wav "What do you hear?" [--base FOLDER_OR_HUB_ID]

FOLDER is what ``jobs/export.py`` wrote. An adapter needs ``--base``, the model that it was trained on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

RATE = 16_000


def load(folder: Path, base: str | None) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Model, tokenizer, feature extractor, and what ``export.json`` says of them."""
    facts = json.loads((folder / "export.json").read_text())
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(folder)
    model = getattr(transformers, facts["class"]).from_pretrained(base or folder, dtype=facts["dtype"])
    if base:
        from peft import PeftModel  # noqa: PLC0415 - a merged model does without

        if len(tokenizer) > len(model.get_input_embeddings().weight):
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model = PeftModel.from_pretrained(model, str(folder))
    return model.eval(), tokenizer, extractor, facts


def inputs(signal: np.ndarray, question: str, tokenizer: Any, extractor: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """What the model's ``forward`` and ``generate`` take: tokens with the block in place, and log-mel features.

    Args:
        signal: mono float32 at 16 kHz.
        question: the text of the user's turn.
        tokenizer: the exported one; it knows the block's tokens.
        extractor: the exported feature extractor.
        facts: ``export.json``.

    Raises:
        ValueError: the clip is longer than one window of the model's tower.
    """
    if len(signal) > extractor.n_samples:
        raise ValueError(f"the clip is longer than {extractor.n_samples / RATE:.0f} s, one window; cut it first")
    signal = np.pad(signal, (0, max(0, getattr(extractor, "least_samples", 0) - len(signal))))
    audio = extractor(signal, sampling_rate=RATE, padding="max_length", return_attention_mask=True, return_tensors="pt")
    frames = int(audio["attention_mask"].sum())
    length = ((frames - 1) // 2 + 1 - 2) // 2 + 1  # audio tokens, 25 a second

    content = [{"type": "audio", "audio_url": "clip"}, {"type": "text", "text": question}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    text = text.replace(facts["placeholder"], facts["placeholder"] * length)
    if facts["block"]:  # between the user's turn and the answer: one thought for each audio token
        start, think, end = facts["block"]
        text += start + think * length + end
    tokens = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    return {
        "input_ids": tokens["input_ids"],
        "attention_mask": tokens["attention_mask"],
        "input_features": audio["input_features"],
        facts["mask_argument"]: audio["attention_mask"],
    }


@torch.inference_mode()
def answer(folder: Path, signal: np.ndarray, question: str, base: str | None = None, max_new_tokens: int = 128) -> str:
    """The greedy answer to one question about one clip."""
    model, tokenizer, extractor, facts = load(folder, base)
    given = inputs(signal, question, tokenizer, extractor, facts)
    generated = model.generate(
        **given | {"input_features": given["input_features"].to(model.dtype)},
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=tokenizer.convert_tokens_to_ids(facts["block"]) if facts["block"] else None,
    )
    return tokenizer.decode(generated[0, given["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def main() -> None:
    """Parse, read the clip, print the answer."""
    import soundfile  # noqa: PLC0415 - only files need it

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("clip", help="mono, 16 kHz")
    parser.add_argument("question")
    parser.add_argument("--base")
    arguments = parser.parse_args()
    signal, rate = soundfile.read(arguments.clip, dtype="float32")
    if rate != RATE or signal.ndim != 1:
        raise SystemExit(f"{arguments.clip} must be mono at {RATE} Hz; convert it first")
    print(answer(arguments.folder, signal, arguments.question, arguments.base))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
