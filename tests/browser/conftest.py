"""One world for all walks: the platform, the models and the page on real ports, and a real browser."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import uvicorn
from fastapi import FastAPI

from benchmarks.visitor import CHROMIUM, MISSING, Visitor, chromium
from coat_ray.client import Client
from coat_ray.config import BackboneConfig, ExpertConfig, ProjectorConfig
from coat_ray.experts.registry import load_expert
from coat_ray.inference.engine import Engine
from coat_ray.inference.limits import EngineLimits
from coat_ray.model.backbones import load_backbone
from coat_ray.model.projectors import make_projector
from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelRegistry
from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import create_key, revoke_key
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.quotas import Quota
from coat_ray.tenancy.roles import PLATFORM, Role
from coat_ray.tenancy.scheduling.demand import Resources
from coat_ray.tenancy.tenants import create_tenant
from serve.access import Platform
from serve.openai.app import build_app as models_app
from serve.openai.serving import Serving
from serve.platform_api import build_app as platform_app
from tests.inference.made import make_model
from tests.serve.served import wait_until
from ui.app import mount

EXPERTS = {"speech": "spidr", "sed": "panns", "paralinguistic": "emotion2vec", "pitch": "basic_pitch"}
FREE = Ingredient("base", "embedded", "Apache-2.0", commercial_use=True)
PICTURES = "BROWSER_PICTURES"
"""Environment variable: where pictures go; without it they go with the test."""


@dataclass
class World:
    """Where the page is, what stands behind it, and a key for each kind of visitor."""

    platform: Platform
    engine: Engine
    url: str
    models_url: str
    platform_url: str
    keys: dict[str, str] = field(default_factory=dict)
    servers: dict[str, uvicorn.Server] = field(default_factory=dict)

    def runs(self) -> list[dict[str, Any]]:
        """All runs, as the owner sees them."""
        return list(Client.open(self.platform_url, self.keys["owner"]).get("/runs")["data"])

    def revoke(self, who: str) -> None:
        """End a key at once."""
        with self.platform.database.begin() as session:
            revoke_key(session, self.keys[who].split("_")[1], actor=PLATFORM)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two teams on a platform without Ray; the models are the embedded base and an adapter with all experts' heads."""
    folder = tmp_path_factory.mktemp("page")
    storage, database = Storage(folder), Database.open(storage_root=folder)
    platform = Platform(database, Ledger(database, lambda: Resources(2, 0)), storage)
    _add_model(storage, folder)
    base = load_backbone(BackboneConfig()).eval()
    with torch.no_grad():  # answers that stream for a while
        base.lm_head.weight[base.front.end_of_turn_id] = 0
    engine = Engine(base, BackboneConfig(), EngineLimits(rows=8, waiting=32))
    serving = Serving(platform, engine, BackboneConfig())
    servers, urls = {}, {}
    for name, app in (("platform", platform_app(platform)), ("models", models_app(serving))):
        servers[name], urls[name] = _serve(app)
    servers["page"], urls["page"] = _serve(mount(FastAPI(openapi_url=None), urls["platform"], urls["models"]))
    yield World(platform, engine, urls["page"], urls["models"], urls["platform"], _keys(database), servers)
    for server in servers.values():
        server.should_exit = True
    engine.stop()
    database.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, or a skipped test. Its client runs an event loop on this thread, where no other one then can."""
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with chromium() as found:
        yield found


@pytest.fixture
def visitor(world: World, browser: Any, tmp_path: Path) -> Iterator[Callable[..., Visitor]]:
    """Open the page in a profile of its own; at the end nothing came from outside, and nothing failed."""
    folder = Path(os.environ.get(PICTURES) or tmp_path)
    opened: list[Visitor] = []

    def come(**more: Any) -> Visitor:
        opened.append(Visitor(browser, world.url, folder, **more))
        return opened[-1]

    yield come
    for each in opened:
        each.context.close()
    assert [url for each in opened for url in each.outside] == []
    assert [error for each in opened for error in each.errors] == []


@pytest.fixture
def wav(tmp_path: Path) -> Callable[..., Path]:
    """A file with a tone."""

    def written(name: str = "tone.wav", seconds: float = 1.5, hertz: float = 440.0) -> Path:
        time = np.arange(int(16_000 * seconds)) / 16_000
        soundfile.write(tmp_path / name, 0.3 * np.sin(2 * np.pi * hertz * time), 16_000)
        return tmp_path / name

    return written


def _serve(app: FastAPI) -> tuple[uvicorn.Server, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    wait_until(lambda: server.started)
    return server, f"http://127.0.0.1:{port}"


def _keys(database: Database) -> dict[str, str]:
    keys = {}
    with database.begin() as session:
        for tenant in ("speech", "music"):
            create_tenant(session, tenant, actor=PLATFORM, quota=Quota(cpus=8))
            keys[tenant] = create_key(session, role=Role.ADMIN, tenant=tenant, actor=PLATFORM).text
        for name, role in (("viewer", Role.VIEWER), ("leaving", Role.MEMBER)):
            keys[name] = create_key(session, role=role, tenant="speech", actor=PLATFORM).text
        keys["owner"] = create_key(session, role=Role.OWNER, tenant=None, actor=PLATFORM).text
    return keys


def _add_model(storage: Storage, folder: Path) -> None:
    """An adapter of the embedded experts, with random heads and a small LoRA."""
    experts = {role: load_expert(ExpertConfig(model=name)) for role, name in EXPERTS.items()}
    base = load_backbone(BackboneConfig()).eval()
    model = make_model(base, 2, 0, specs={role: (expert.spec, expert.head) for role, expert in experts.items()})
    hidden = base.hidden_size
    model.heads["recon"] = make_projector(hidden, hidden, ProjectorConfig())
    model.teacher_specs["recon"], model.widths["recon"], model.losses["recon"] = None, hidden, "mse"
    model.save_adapter(folder / "adapter")
    registry = ModelRegistry(storage.tenant("speech"))
    base_config = BackboneConfig().model_dump()
    registry.add("trial", folder / "adapter", base=base_config, ingredients=[FREE], alias="best", scores={"music": 0.5})
