"""Corpora: upload, register, list, show, remove."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypeVar

from anyio import CancelScope
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from coat_ray.tenancy.columns import NAME_LENGTH
from coat_ray.tenancy.corpora import get_corpus, list_corpora
from serve.access import Asking, Caller
from serve.archives import KINDS, PIECE_BYTES
from serve.corpus_store import Place, register_folder, remove
from serve.uploads import Upload

router = APIRouter(prefix="/corpora", tags=["corpora"])

Name = Annotated[str, Path(max_length=200)]
Tenant = Annotated[str | None, Query(max_length=63, description="whose; only an owner may name another than its own")]
T = TypeVar("T")

ARCHIVE = {
    "requestBody": {
        "required": True,
        "description": "train.jsonl, validation.jsonl, test.jsonl and the clips that they name, perhaps in one folder",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in KINDS},
    }
}


class CorpusRequest(BaseModel):
    """A folder that lies in the inbox of the tenant's storage."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=NAME_LENGTH)
    path: str = Field(max_length=1024, description="of the folder, relative to inbox/")


@router.get("")
def listed(asking: Asking, tenant: Tenant = None) -> dict[str, Any]:
    """Corpora of the caller's tenant; for an owner of the one that is named, or of all."""
    with asking.recorded("corpus"):
        whose = None if tenant is None else asking.acting_in(tenant)
        with asking.platform.database.read() as session:
            found = list_corpora(session, actor=asking.principal, tenant=whose)
    return {"data": [corpus.to_json() for corpus in found]}


@router.get("/{corpus}")
def shown(corpus: Name, asking: Asking, tenant: Tenant = None) -> dict[str, Any]:
    """What a corpus holds, and under which licences."""
    with asking.recorded(f"corpus/{corpus}"):
        whose = asking.acting_in(tenant)
        with asking.platform.database.read() as session:
            return get_corpus(session, corpus, actor=asking.principal, tenant=whose).to_json()


@router.post("", status_code=201)
def registered(asked: CorpusRequest, asking: Asking, tenant: Tenant = None) -> dict[str, Any]:
    """Make a corpus of a folder in the inbox, by moving it."""
    with asking.recorded(f"corpus/{asked.name}"):
        return register_folder(_place(asking, tenant), asked.name, asked.path).to_json()


@router.put("/{corpus}", openapi_extra=ARCHIVE, responses={201: {"description": "A new corpus"}})
async def uploaded(
    corpus: Name, request: Request, response: Response, asking: Asking, tenant: Tenant = None
) -> dict[str, Any]:
    """Send a corpus as one archive. Sent again, it is the same corpus."""

    async def recorded(step: Callable[[], T]) -> T:
        def inside() -> T:
            with asking.recorded(f"corpus/{corpus}"):
                return step()

        return await run_in_threadpool(inside)

    upload = await recorded(lambda: _begun(corpus, request, asking, tenant))
    try:
        async for piece in _pieces(request, asking.platform.uploads.stall_s):
            await recorded(lambda data=piece: upload.write(data))  # type: ignore[misc]
        made, new = await recorded(upload.finish)
    finally:
        with CancelScope(shield=True):
            await run_in_threadpool(upload.close)
    response.status_code = 201 if new else 200
    return made.to_json()


@router.delete("/{corpus}")
def removed(corpus: Name, asking: Asking, tenant: Tenant = None) -> dict[str, Any]:
    """Remove a corpus and its files; refused while a run that has not ended needs it."""
    with asking.recorded(f"corpus/{corpus}"):
        return remove(_place(asking, tenant), corpus).to_json()


def _place(asking: Caller, tenant: str | None) -> Place:
    platform = asking.platform
    whose = asking.acting_in(tenant)
    return Place(platform.database, platform.storage, asking.principal, whose, platform.uploads)


def _begun(corpus: str, request: Request, asking: Caller, tenant: str | None) -> Upload:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    place = _place(asking, tenant)
    length = request.headers.get("content-length", "")
    return Upload(place, corpus, kind, int(length) if length.isdecimal() else None)


async def _pieces(request: Request, stall_s: float) -> AsyncIterator[bytes]:
    """The body in pieces that are worth a write.

    Raises:
        HTTPException: it ends or stops before its end.
    """
    stream, gathered = aiter(request.stream()), bytearray()
    try:
        while True:
            async with asyncio.timeout(stall_s):
                gathered += await anext(stream)
            if len(gathered) >= PIECE_BYTES:
                yield bytes(gathered)
                gathered.clear()
    except StopAsyncIteration:
        yield bytes(gathered)
    except TimeoutError:
        raise HTTPException(408, f"nothing came for {stall_s:g} seconds; send the archive again") from None
    except ClientDisconnect:
        raise HTTPException(400, "the archive ended before its end; send it again") from None
