"""Keeping secrets out of what is recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "[hidden]"

# Looser than a real key, so that one that was cut or mistyped is hidden too.
_API_KEY = re.compile(r"(coat_[a-z0-9]{8})_[A-Za-z0-9_-]+")
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]+(?=@)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
_SECRET_NAME = re.compile(r"(?i)(^|[_-])(secret|password|passwd|token|authorization|api[_-]?key|credentials?)s?$")


def redact_text(text: str) -> str:
    """The text without API keys (their public part stays), passwords in URLs and authorization headers."""
    text = _API_KEY.sub(rf"\1_{HIDDEN}", text)
    text = _PASSWORD_IN_URL.sub(rf"\1:{HIDDEN}", text)
    return _BEARER.sub(rf"\1 {HIDDEN}", text)


def redact(value: Any) -> Any:
    """Plain data (the kind JSON holds) without secrets: in texts, in names, and whatever a telling name stands for."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {
            redact_text(str(name)): HIDDEN if _SECRET_NAME.search(str(name)) and _could_be(item) else redact(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value


def _could_be(item: Any) -> bool:
    """A number is no secret: max_tokens is a setting."""
    return item is not None and not isinstance(item, bool | int | float)
