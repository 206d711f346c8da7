"""Why a request has no answer. Each says it in a sentence for whoever asked."""

from __future__ import annotations


class RequestRefused(ValueError):
    """What was asked for cannot be answered, however often it is asked."""


class AdapterRefused(ValueError):
    """A folder that is no adapter of this base."""


class AdapterTooLarge(RuntimeError):
    """An adapter that does not fit into the bytes that adapters may take."""


class QueueFull(RuntimeError):
    """As many requests wait as may; worth asking again later."""


class RequestCancelled(RuntimeError):
    """The request was cancelled before its answer was complete."""


class EngineStopped(RuntimeError):
    """The engine takes no requests any more, or stopped before this one was answered."""


class ModelFailed(RuntimeError):
    """The model raised while it ran this request or one beside it; the log has the reason."""
