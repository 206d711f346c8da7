"""What a configuration that comes over HTTP may name: things of the platform and of its tenant, never a path."""

from __future__ import annotations

import re

from sqlalchemy.orm import Session

from coat_ray.config import ConfigError, RunConfig
from coat_ray.corpus.builtin import BUILTIN
from coat_ray.tenancy.corpora import corpus_exists

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
HUB_ID = re.compile(rf"{NAME.pattern}/{NAME.pattern}")


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
    uri = config.tracking.mlflow
    if uri is not None and not uri.startswith(("http://", "https://")):
        raise ConfigError(f"tracking.mlflow: {uri!r} is not the address of a server: http://… or https://…")


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


def _check_weights(key: str, value: str) -> None:
    if ".." in value or not (NAME.fullmatch(value) or HUB_ID.fullmatch(value)):
        raise ConfigError(f"{key}: {value!r} is neither a name (embedded, official) nor the id of a model on the hub")
