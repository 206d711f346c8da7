"""One server for all tests here: the embedded base, two tenants' models on it, asked with the official client."""

from __future__ import annotations

import base64
import copy
import io
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import soundfile
import torch
import uvicorn

from coat_ray.config import BackboneConfig
from coat_ray.inference.engine import Engine
from coat_ray.inference.limits import EngineLimits
from coat_ray.model.backbones import load_backbone
from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelRegistry
from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import create_key
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.ledger_tables import ShareKind
from coat_ray.tenancy.quotas import Quota
from coat_ray.tenancy.roles import PLATFORM, Role
from coat_ray.tenancy.scheduling.demand import Resources
from coat_ray.tenancy.sharing import grant
from coat_ray.tenancy.tenants import create_tenant
from serve.access import Platform
from serve.openai.app import build_app
from serve.openai.limits import ServingLimits
from serve.openai.serving import Serving
from tests.inference.made import clip, make_model
from tests.model.conftest import make_specs
from tests.serve.served import wait_until

NOTE = Ingredient("base", "embedded", "Apache-2.0", commercial_use=True)
SPEECH, MUSIC = "base:speech/notes@1", "base:music/chords@1"
QUOTAS = {"slow": Quota(audio_seconds_per_minute=4), "few": Quota(requests_per_minute=2)}
TENANTS = ("speech", "music", "slow", "few")


def encoded(signal: np.ndarray, kind: str = "WAV", rate: int = 16_000) -> bytes:
    """A signal as a file."""
    file = io.BytesIO()
    soundfile.write(file, signal, rate, format=kind)
    return file.getvalue()


def heard(data: bytes | None = None, kind: str = "wav") -> dict[str, Any]:
    """A part of a message with a clip."""
    text = base64.b64encode(data if data is not None else encoded(clip(1))).decode()
    return {"type": "input_audio", "input_audio": {"data": text, "format": kind}}


def about(*parts: Any, text: str = "what sound is heard?") -> list[dict[str, Any]]:
    """One turn of a user with parts and a question."""
    return [{"role": "user", "content": [*(parts or (heard(),)), {"type": "text", "text": text}]}]


@dataclass
class Live:
    """The real application on a free port, and a key for each kind of caller."""

    serving: Serving
    url: str
    keys: dict[str, str] = field(default_factory=dict)

    def client(self, who: str = "speech", retries: int = 0) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.keys[who], max_retries=retries, timeout=120)

    def post(self, body: Any, who: str = "speech", **more: Any) -> httpx.Response:
        """A body as it is, to the chat endpoint."""
        headers = {"Authorization": f"Bearer {self.keys[who]}", **more.pop("headers", {})}
        sent = {"content": body, **more} if isinstance(body, bytes) else {"json": body, **more}
        if isinstance(body, bytes):
            headers.setdefault("Content-Type", "application/json")
        return httpx.post(f"{self.url}/v1/chat/completions", headers=headers, timeout=120, **sent)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("serving")
    storage, database = Storage(folder), Database.open(storage_root=folder)
    platform = Platform(database, Ledger(database, lambda: Resources(1, 0)), storage)
    base = load_backbone(BackboneConfig()).eval()
    with torch.no_grad():  # what random adapters say would end at once
        base.lm_head.weight[base.front.end_of_turn_id] = 0
    _add(storage, "speech", "notes", make_model(base, 2, 0, specs=make_specs()), folder / "a")
    _add(storage, "speech", "broken", make_model(base, 1, 2), folder / "c")
    _add(storage, "music", "chords", make_model(base, 3, 1), folder / "b")
    engine = Engine(copy.deepcopy(base), BackboneConfig(), EngineLimits(rows=8, waiting=8))
    made = Live(Serving(platform, engine, BackboneConfig(), ServingLimits(transcript_tokens=8)), "", _keys(database))
    with listening(made):
        yield made
    engine.stop()
    database.close()


@contextmanager
def listening(live: Live) -> Iterator[None]:
    """The application of ``live.serving`` on a free port, which becomes its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    live.url = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(build_app(live.serving), port=port, log_level=logging.ERROR))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    yield
    server.should_exit = True
    thread.join()


def _keys(database: Database) -> dict[str, str]:
    keys = {}
    with database.begin() as session:
        for tenant in TENANTS:
            create_tenant(session, tenant, actor=PLATFORM, quota=QUOTAS.get(tenant, Quota()))
            keys[tenant] = create_key(session, role=Role.VIEWER, tenant=tenant, actor=PLATFORM).text
        options = {"role": Role.VIEWER, "tenant": "speech", "actor": PLATFORM}
        keys["audio"] = create_key(session, **options, require_audio=True).text  # type: ignore[arg-type]
        keys["owner"] = create_key(session, role=Role.OWNER, tenant=None, actor=PLATFORM).text
    return keys | {"unknown": f"{keys['speech'][:-4]}xxxx", "none": "sk-1"}


def _add(storage: Storage, tenant: str, name: str, model: Any, folder: Path) -> None:
    model.save_adapter(folder)
    registry = ModelRegistry(storage.tenant(tenant))
    registry.add(name, folder, base=BackboneConfig().model_dump(), ingredients=[NOTE], alias="best")


def share(live: Live, owner: str, name: str, grantee: str) -> None:
    """Let another tenant use a version."""
    with live.serving.platform.database.begin() as session:
        grant(session, owner, ShareKind.MODEL, name, grantee, actor=PLATFORM)
