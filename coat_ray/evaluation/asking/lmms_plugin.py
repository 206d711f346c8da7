"""How lmms-eval finds our models: the entry point ``lmms_eval.models`` in pyproject.toml calls :func:`manifest`.

lmms-eval is not a dependency: only it calls this, and only then is it imported.
"""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """An ``lmms_eval.models.registry_v2.ModelManifest``: ``--model coat`` is ``lmms_model.Coat``."""
    from lmms_eval.models.registry_v2 import ModelManifest  # noqa: PLC0415 - not a dependency of ours

    return ModelManifest(model_id="coat", simple_class_path="coat_ray.evaluation.asking.lmms_model.Coat")
