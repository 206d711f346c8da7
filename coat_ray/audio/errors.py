"""Why a clip cannot be used: one error per reason, each with a slug for quarantine rows and HTTP errors."""

from __future__ import annotations


class AudioError(ValueError):
    """A clip that cannot be used; ``reason`` names the cause."""

    reason = "unusable"


class MissingAudioError(AudioError):
    """Nothing at the path, or a folder."""

    reason = "missing"


class NoPermissionError(AudioError):
    """It may be there, and may not be read."""

    reason = "no_permission"


class NoCredentialsError(AudioError):
    """An object store, and nothing that says who asks."""

    reason = "no_credentials"


class UnreachableError(AudioError):
    """A store that does not answer now."""

    reason = "unreachable"


class EmptyAudioError(AudioError):
    """No bytes, or no samples."""

    reason = "empty"


class TruncatedAudioError(AudioError):
    """The file ends before its header says, or is damaged inside."""

    reason = "truncated"


class NotAudioError(AudioError):
    """No known audio format, or a container without an audio stream."""

    reason = "not_audio"


class TooLongError(AudioError):
    """Longer than ``max_seconds``."""

    reason = "too_long"


class TooLargeError(AudioError):
    """More bytes than ``max_bytes``."""

    reason = "too_large"


class TooManyChannelsError(AudioError):
    """More channels than ``max_channels``."""

    reason = "too_many_channels"


class NotFiniteError(AudioError):
    """NaN or infinite samples."""

    reason = "not_finite"


class BadSampleRateError(AudioError):
    """A sample rate outside the limits."""

    reason = "bad_sample_rate"
