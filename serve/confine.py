"""What a configuration that comes over HTTP may name: things of the platform and of its tenant, never a path."""

from __future__ import annotations

import math
import os
import re
from typing import Any

from sqlalchemy.orm import Session

from coat_ray.config import ConfigError, RunConfig
from coat_ray.corpus.builtin import BUILTIN
from coat_ray.tenancy.corpora import corpus_exists

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
HUB_ID = re.compile(rf"{NAME.pattern}/{NAME.pattern}")

MLFLOW_SERVERS = "COAT_MLFLOW_SERVERS"
"""In the platform's environment: the servers, separated by spaces, to which jobs may send their metrics."""

MAX_DEPTH = 32


def check_plain(data: Any, origin: str) -> None:
    """Refuse what a request may hold and a job's file, the database or an answer cannot.

    The file of a job is read with ``${…}`` for references; from a request it could mean the platform's environment.

    Raises:
        ConfigError: with what is wrong, under the name *origin*.
    """
    waiting = [(data, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ConfigError(f"{origin}: more than {MAX_DEPTH} levels inside one another; make it flatter")
        if isinstance(value, dict):
            waiting += [(part, depth + 1) for part in (*value, *value.values())]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value]
        elif isinstance(value, str):
            _check_text(value, origin)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{origin}: {value} is no number that JSON has; give a finite one")


def _check_text(text: str, origin: str) -> None:
    if "${" in text:
        raise ConfigError(f"{origin}: {text[:100]!r} refers to something else; send the value itself, without '${{'")
    if "\0" in text or (not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text)):
        raise ConfigError(f"{origin}: {text[:100]!r} holds signs that cannot be stored; leave them out")


def check_confined(config: RunConfig) -> None:
    """Refuse a configuration that would have its job read or write where its tenant has no business.

    Whoever submits a job with ``ray job submit`` runs their own code anyway and is not asked this.

    Raises:
        ConfigError: naming the key, and what may stand there.
    """
    name = config.corpus.name
    if not (NAME.fullmatch(name) or HUB_ID.fullmatch(name)):  # NAME, or OWNER/NAME of a shared one
        raise ConfigError(f"corpus.name: {name!r} is no name of a corpus; upload or register its folder first")
    _check_weights("backbone.weights", config.backbone.weights)
    for role, expert in config.experts.items():
        _check_weights(f"experts.{role}.weights", expert.weights)
    if config.tracking.mlflow is not None:
        _check_server(config.tracking.mlflow)


def check_corpus(session: Session, tenant: str, config: RunConfig) -> None:
    """Refuse a corpus that the tenant's jobs would not find; one of another tenant is one that there is not.

    Raises:
        ConfigError: naming the key, and what may stand there.
    """
    name = config.corpus.name
    if name not in BUILTIN and not corpus_exists(session, tenant, name):
        raise ConfigError(
            f"corpus.name: no corpus {name!r}; give a built-in one ({', '.join(sorted(BUILTIN))}) "
            "or one that `coat corpora list` shows"
        )


def _check_server(uri: str) -> None:
    """The job would send the platform's credentials for MLflow there, from inside its network."""
    servers = [server.rstrip("/") for server in os.environ.get(MLFLOW_SERVERS, "").split()]
    inside = any(uri == server or uri.startswith(f"{server}/") for server in servers)
    if not inside or ".." in uri or not uri.isprintable():
        known = f"it knows {', '.join(servers)}" if servers else f"it knows none, as {MLFLOW_SERVERS} names none"
        raise ConfigError(f"tracking.mlflow: {uri!r} is no server that this platform sends metrics to; {known}")


def _check_weights(key: str, value: str) -> None:
    if ".." in value or not (NAME.fullmatch(value) or HUB_ID.fullmatch(value)):
        raise ConfigError(f"{key}: {value!r} is neither a name (embedded, official) nor the id of a model on the hub")
