"""Where a model runs.

Ray hides no GPU from a process that was given none. What runs on a cluster therefore takes a GPU only if its resources
say so (``device_of``); a command on one's own machine takes what it finds (``usable_device``).
"""

from __future__ import annotations

import os

import torch


def usable_device() -> torch.device:
    """The first GPU of this machine, else the CPU; the CPU in a cluster's driver ($RAY_ADDRESS), which holds no GPU."""
    return device_of(torch.cuda.is_available() and not os.environ.get("RAY_ADDRESS"))


def device_of(gpus: float) -> torch.device:
    """Where a process runs that was given so many GPUs."""
    return torch.device("cuda" if gpus else "cpu")


def wait_for(device: torch.device) -> None:
    """Return when the device has done what it was told: a GPU works on while Python does, and clocks read too early."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
