"""What the platform refuses or cannot find. A `Refusal` is written into the audit log by whoever meets it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from coat_ray.tenancy.denials import Denial


class DatabaseError(RuntimeError):
    """The database cannot be opened or is not ours; the message says what to do and carries no password."""


class BadRequest(ValueError):
    """What was asked for cannot be, by whoever's asking; the message is a sentence for them."""


class TenantExists(ValueError):
    """A tenant of that name is there, or was."""


class IdempotencyConflict(ValueError):
    """A key that came with another request before."""


class UsageConflict(ValueError):
    """The same event was recorded before with another amount."""


class TenantNotFound(LookupError):
    """No tenant of that name; the message names the nearest ones."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "`coat tenants list` shows what there is"
        super().__init__(f"no tenant {name!r}; {hint}")


class KeyNotFound(LookupError):
    """No key of that id that the asker may see."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"no key {key_id!r}; `coat keys list` shows what there is")


class AuthenticationOutcome(StrEnum):
    """Why a key is not accepted. For the audit log; the client is told only that it is not."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Refusal(Exception):
    """Something that somebody asked for and may not have."""

    @property
    def reason(self) -> str:
        """Why, for the audit log."""
        return str(self)

    @property
    def detail(self) -> dict[str, Any]:
        """Structured fields for the audit log, without secrets."""
        return {}


class Forbidden(Refusal):
    """The role of a key does not reach that far, or the tenant is another one."""


class Denied(Refusal):
    """A limit is reached."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.sentence)
        self.denial = denial

    @property
    def detail(self) -> dict[str, Any]:
        """The denial's fields."""
        return self.denial.fields()


class AuthenticationFailed(Refusal):
    """A key that is not accepted. The text is the same for every outcome, so that a client learns nothing from it."""

    def __init__(self, outcome: AuthenticationOutcome, key_id: str | None = None, tenant: str | None = None) -> None:
        super().__init__("this API key is not accepted; ask your tenant's admin for a new one")
        self.outcome = outcome
        self.key_id = key_id
        self.tenant = tenant

    @property
    def reason(self) -> str:
        """The outcome."""
        return self.outcome.value

    @property
    def detail(self) -> dict[str, Any]:
        """The public part of the key, where it has one."""
        return {"key_id": self.key_id}
