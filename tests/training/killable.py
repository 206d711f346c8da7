"""A small real training in a child process that is killed where a test says: ``python -m tests.training.killable``.

The parent imports everything once and has no threads, so that each attempt is a fork that starts within a second.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import torch.distributed as dist

from coat_ray.audio import clip_id, load_audio
from coat_ray.config import RunConfig
from coat_ray.corpus.manifest import Message, Row, write_manifest
from coat_ray.experts.base import ExpertSpec
from coat_ray.model.batch import Batch
from coat_ray.targets.store import TargetStore
from coat_ray.training import checkpoint, loop
from coat_ray.training.engine import Engine
from coat_ray.training.journal import Worker
from coat_ray.training.task import WorkerTask
from coat_ray.training.window import StepSums
from tests.model.families import TINY

STEPS, SWITCH, EVERY = 40, 17, 5
RATE = 16_000
SPEECH = ExpertSpec("spidr", RATE, 50.0, 0.0125, 3, "mse", "MIT", True, "test")
CONFIG = {
    "name": "killable",
    "stages": [
        {"name": "first", "steps": SWITCH, "weights": {"recon": 1.0}},
        {"name": "second", "steps": STEPS - SWITCH, "weights": {"recon": 1.0, "speech": 0.5}},
    ],
    "experts": {"speech": {"model": "spidr"}},
    "projector": {"num_heads": 2},
    "lora": {"dropout": 0.1, "rank": 4},
    "optim": {"lr": 1e-2, "head_lr": 1e-2, "weight_decay": 0.1},
    "augment": {"gain_db": 6, "noise_probability": 0.5, "time_masks": 1, "frequency_masks": 1},
    "training": {"batch_rows": 4, "micro_tokens": 200, "checkpoint_every": EVERY, "log_every": 5},
}
PLACES = ("forward", "backward", "step", "checkpoint")
"""Where a child may be killed: each time when this call of its step begins (a checkpoint: half written)."""


def make_task(root: Path) -> WorkerTask:
    """Rows, clips, targets and base model, from fixed seeds."""
    root.mkdir(parents=True, exist_ok=True)
    base, store = root / "base", TargetStore(root / "targets")
    if not base.exists():
        TINY["qwen2_audio"](base)
    rng = np.random.default_rng(0)
    dataset = store.open_or_create(SPEECH, "expert", None, "native")
    rows = []
    for number in range(12):
        seconds = 0.4 + 0.1 * number
        clips = () if number % 5 == 4 else (f"{number}.wav",)
        for clip in clips:
            soundfile.write(root / clip, rng.uniform(-0.5, 0.5, round(seconds * RATE)), RATE)
            frames = rng.standard_normal((round(50 * seconds), 3)).astype(np.float16)
            dataset.write([(clip_id(load_audio(root / clip, RATE)), frames)])
        turns = (
            Message(role="user", content="<audio>\n" * len(clips) + "what sound is heard"),
            Message(role="assistant", content="a dog barks"),
        )
        rows.append(Row(id=f"row {number}", messages=turns, audios=clips, seconds=seconds if clips else 0.0))
    write_manifest(rows, root / "train.jsonl")
    config = RunConfig.model_validate(CONFIG | {"backbone": {"weights": str(base)}})
    folder = root / "run"
    folder.mkdir(exist_ok=True)
    datasets = {"speech": dataset.fingerprint}
    return WorkerTask(config, "coat", "killable", folder, root / "train.jsonl", root / "targets", datasets)


def attempt(task: WorkerTask, kill_at: int | None, place: str) -> None:
    """Train until *kill_at* (a global step) or to the end, noting rows and generator of every step."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    meeting = task.folder / f"meeting-{os.getpid()}"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=0, world_size=1)
    newest = checkpoint.newest_checkpoint(task.checkpoints, task.fingerprint)
    now = newest.progress.step if newest else 0

    def dying(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if name == place and now == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return wrapped

    def half_written(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save(tensors, path)
        if place == "checkpoint" and kill_at is not None and now > kill_at:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    def noted(engine: Engine, parts: Sequence[Batch], *arguments: Any) -> StepSums:
        nonlocal now
        sums = step(engine, parts, *arguments)
        state = hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest()
        heard = hashlib.sha256(b"".join(part.features_NMF.numpy().tobytes() for part in parts)).hexdigest()
        facts = {"step": now, "rows": [part.row_ids for part in parts], "rng": state, "heard": heard}
        with (task.folder / "trace.jsonl").open("a") as file:
            file.write(json.dumps(facts) + "\n")
        now += 1
        return sums

    save, checkpoint.save_file = checkpoint.save_file, half_written
    step, loop.train_step = loop.train_step, noted
    for name in ("forward", "backward", "step"):
        setattr(Engine, name, dying(name, getattr(Engine, name)))
    loop.train(task, Worker(0, 1, torch.device("cpu"), lambda line: None))


def forked(task: WorkerTask, kill_at: int | None, place: str) -> int:
    """Signal that ended the child, 0 if none did."""
    child = os.fork()
    if child == 0:
        try:
            attempt(task, kill_at, place)
        except BaseException as error:  # noqa: BLE001 - a child of a fork must never return
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"the attempt failed (kill at {kill_at}, {place})")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def main() -> None:
    """``killable ROOT [killed]``: train undisturbed, or killed once at every step."""
    root, killed = Path(sys.argv[1]), sys.argv[2:] == ["killed"]
    task = make_task(root)
    died = []
    if killed:
        for kill_at in range(STEPS):
            place = PLACES[kill_at % len(PLACES)]
            died.append([kill_at, place, forked(task, kill_at, place)])
    forked(task, None, "")
    (root / "died.json").write_text(json.dumps(died))


if __name__ == "__main__":
    # Once for all children, who would each import it.
    import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401

    import coat_ray.model.coat
    import coat_ray.training.batches  # noqa: F401

    main()
