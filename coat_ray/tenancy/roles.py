"""Who asks, and how far each role reaches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from coat_ray.tenancy.errors import Forbidden


class Role(StrEnum):
    """From least to most: each role may do what the ones before it may.

    A viewer reads; a member also starts and stops work; an admin also makes and revokes the tenant's keys; the owner
    of the platform also makes tenants, sets quotas and acts in every tenant.
    """

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "owner"


@dataclass(frozen=True)
class Principal:
    """Whoever a key stands for. An owner has no tenant; the platform itself has no key.

    With ``require_audio`` a question to a model must bring a clip.
    """

    tenant: str | None
    role: Role
    key_id: str | None = None
    require_audio: bool = False

    def may(self, role: Role, tenant: str | None) -> bool:
        """Whether this is at least *role* in *tenant* (None: on the platform, which only an owner is)."""
        order = list(Role)
        if self.role is Role.OWNER:
            return True
        return tenant is not None and tenant == self.tenant and order.index(self.role) >= order.index(role)

    def require(self, role: Role, tenant: str | None, what: str) -> None:
        """Pass, or refuse *what* (for example "make keys").

        Raises:
            Forbidden: naming the role that is needed.
        """
        if not self.may(role, tenant):
            where = f"of tenant {tenant!r}" if tenant and role is not Role.OWNER else "of the platform"
            raise Forbidden(f"to {what} takes the {role} {where}; this key is {self.role} of tenant {self.tenant!r}")


PLATFORM = Principal(tenant=None, role=Role.OWNER)
"""The platform acting by itself, for example when it makes its first key."""
