"""Rebuild the embedded weights from nothing: ``python jobs/pretrain.py base|experts --out FOLDER``.

The shipped weights were made by these commands with their defaults. Each writes a card (data, steps, scores).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console

from coat_ray.evaluation.marking.metrics import exact_match, word_errors
from coat_ray.experts.pretraining import pretrain_experts as train_experts
from coat_ray.model.backbones.base import AUDIO_MARK
from coat_ray.model.generate import Generator
from coat_ray.model.pretraining.layout import BaseSize, build_base, save_base, train_tokenizer
from coat_ray.model.pretraining.lessons import Example, soundworld_lessons
from coat_ray.model.pretraining.trainer import BaseRecipe, BaseTrainer
from coat_ray.storage import atomic_write

console = Console()


def main() -> None:
    """Parse and run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    base = commands.add_parser("base", help="the small Qwen2-Audio: tokenizer, tower, language model")
    base.add_argument("--steps", type=int, default=BaseRecipe.steps)
    base.add_argument("--clips", type=int, default=10_000)
    experts = commands.add_parser("experts", help="the small SpidR, PANNs and emotion2vec")
    for command in (base, experts):
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    (pretrain_base if arguments.command == "base" else pretrain_experts)(arguments)


def pretrain_base(arguments: argparse.Namespace) -> None:
    """Make the base model and its card."""
    start = time.time()
    console.print(f"rendering {arguments.clips} clips")
    lessons = soundworld_lessons(arguments.clips, arguments.clips // 4, arguments.seed, arguments.threads)
    held_out = soundworld_lessons(300, 100, arguments.seed, arguments.threads, split="validation").examples
    tokenizer = train_tokenizer(lessons.texts)
    model, processor = build_base(tokenizer, BaseSize(), arguments.seed)
    recipe = BaseRecipe(steps=arguments.steps, seed=arguments.seed)
    trainer = BaseTrainer(model, processor, recipe)

    def report(step: int, losses: dict[str, float]) -> None:
        terms = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
        console.print(f"step {step:5d}/{recipe.steps}  {terms}  {time.time() - start:.0f} s", highlight=False)

    trainer.run(lessons.examples, report)
    scores = base_scores(Generator(trainer.backbone, block=False), held_out)
    save_base(model, processor, arguments.out)
    card = {
        "model": "small Qwen2-Audio, trained from nothing on SoundWorld",
        "size": asdict(BaseSize()) | {"parameters": sum(p.numel() for p in model.parameters())},
        "recipe": asdict(recipe) | {"clips": arguments.clips, "examples": len(lessons.examples)},
        "held_out": scores,
        "seconds": round(time.time() - start),
    }
    atomic_write(arguments.out / "card.json", json.dumps(card, indent=2) + "\n")
    console.print_json(data=card)


def base_scores(generator: Generator, examples: list[Example]) -> dict[str, float]:
    """Word error rate of transcripts, accuracy of everything else, per skill, on validation voices and timbres."""
    answers: dict[str, list[tuple[str, str]]] = {}
    for start in range(0, len(examples), 64):
        part = examples[start : start + 64]
        marks = ["" if e.clip is None else f"{AUDIO_MARK}\n" for e in part]
        asked = [[{"role": "user", "content": mark + e.question}] for mark, e in zip(marks, part, strict=True)]
        signals = [[] if e.signal is None else [e.signal] for e in part]
        for example, text in zip(part, generator.generate(asked, signals, 40).texts, strict=True):
            answers.setdefault(example.skill, []).append((example.answer, text))
    return {skill: round(_score(skill, pairs), 3) for skill, pairs in sorted(answers.items())}


def _score(skill: str, pairs: list[tuple[str, str]]) -> float:
    if skill == "transcript":
        counted = [word_errors(*pair) for pair in pairs]
        return sum(errors for errors, _ in counted) / sum(words for _, words in counted)
    return sum(exact_match(*pair) for pair in pairs) / len(pairs)


def pretrain_experts(arguments: argparse.Namespace) -> None:
    """Make the three embedded teachers and their card."""
    train_experts(arguments.out, seed=arguments.seed, report=console.print)


if __name__ == "__main__":
    main()
