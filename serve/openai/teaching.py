"""What the teachers say beside an answer: their own view of the clip, and how far the block agrees with it."""

from __future__ import annotations

from typing import Any

import torch

from coat_ray.config import RECON
from coat_ray.inference.mel_map import log_mel
from coat_ray.inference.requests import Result
from coat_ray.inference.views import Readers
from coat_ray.targets.listening import Listener
from serve.openai.questions import Question

Views = dict[str, dict[str, Any]]


def can_be_taught(question: Question, result: Result) -> bool:
    """Whether there is a block about exactly one clip, which teachers can hear too."""
    return bool(result.features) and len(question.clips) == 1 and question.request.adapter is not None


def taught(listener: Listener, question: Question, result: Result) -> tuple[Views, Views]:
    """Student's and teachers' views of the clip of an answer, in the same classes and columns."""
    assert question.request.adapter is not None
    [clip] = question.clips
    readers = Readers(question.request.adapter.folder)
    student = {role: torch.from_numpy(z) for role, z in result.features.items()}
    length = len(next(iter(student.values())))
    heard = listener.hear(readers.specs, clip.signal, length)
    if RECON in student:
        heard[RECON] = log_mel(clip.signal, length)
    teacher = {role: torch.from_numpy(z) for role, z in heard.items()}
    return readers.compared(student, teacher, question.request.thinking_columns)
