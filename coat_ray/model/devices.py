"""Where a model runs.

Ray lets a worker see every GPU of its node, also those that it gave to others. What runs on a cluster therefore takes a
GPU only if its resources say so (``device_of``); a command on one's own machine takes what it finds
(``usable_device``).
"""

from __future__ import annotations

import torch


def usable_device() -> torch.device:
    """The first GPU that this process sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(gpus: float) -> torch.device:
    """Where a process runs that was given so many GPUs."""
    return torch.device("cuda" if gpus else "cpu")


def wait_for(device: torch.device) -> None:
    """Return when the device has done what it was told: a GPU works on while Python does, and clocks read too early."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
