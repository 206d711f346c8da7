"""Which file system a path or URI means, and what its refusals mean for whoever named it."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from pyarrow.fs import FileSystem, LocalFileSystem

from coat_ray.audio.errors import (
    AudioError,
    MissingAudioError,
    NoCredentialsError,
    NoPermissionError,
    UnreachableError,
)

_ROLES = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_DENIED = re.compile(r"ACCESS_DENIED|HTTP status 40[13]|InvalidAccessKeyId|SignatureDoesNotMatch|INVALID_ACCESS_KEY")
_NETWORK = re.compile(r"NETWORK_CONNECTION|curlCode|SLOW_DOWN|SERVICE_UNAVAILABLE|REQUEST_TIMEOUT|HTTP status 5\d\d")


def locate(source: str | Path) -> tuple[FileSystem, str]:
    """File system and path of a local path or a URI; clients of object stores are kept.

    ``s3://`` takes its settings from the environment (``AWS_ENDPOINT_URL``, ``AWS_REGION``) or from the URI.
    """
    text = str(source)
    if not isinstance(source, str) or "://" not in text:
        return LocalFileSystem(), str(Path(source).absolute())
    if text.startswith("s3://"):
        bucket_and_key, _, query = text.removeprefix("s3://").partition("?")
        return _s3(bucket_and_key.partition("/")[0], query, *_s3_environment()), bucket_and_key
    filesystem, path = FileSystem.from_uri(text)
    return filesystem, path


def _s3_environment() -> tuple[str, str]:
    return os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get("AWS_REGION", "")


@lru_cache(maxsize=32)
def _s3(bucket: str, query: str, endpoint: str, region: str) -> FileSystem:
    """A client per bucket; making one looks for credentials and asks where the bucket lies."""
    if query or not endpoint:
        return FileSystem.from_uri(f"s3://{bucket}/x" + (f"?{query}" if query else ""))[0]
    from pyarrow.fs import S3FileSystem  # noqa: PLC0415 - absent from some builds of pyarrow

    scheme, _, host = endpoint.rpartition("://")
    return S3FileSystem(endpoint_override=host, scheme=scheme or "https", region=region or "us-east-1")


def _has_credentials() -> bool:
    homes = (Path.home() / ".aws" / name for name in ("credentials", "config"))
    return any(os.environ.get(name) for name in _ROLES) or any(path.is_file() for path in homes)


def explained(source: str | Path, error: Exception) -> AudioError:
    """What an error of a file system means for whoever named *source*."""
    text = str(error)
    if isinstance(error, PermissionError) or _DENIED.search(text):
        if str(source).startswith("s3://") and not _has_credentials():
            return NoCredentialsError(
                f"no credentials for {source}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws"
            )
        return NoPermissionError(f"no permission to read {source}: {text}")
    if _NETWORK.search(text):
        return UnreachableError(f"cannot reach {source}: {text}")
    return MissingAudioError(f"no readable audio file at {source}: {text}")
