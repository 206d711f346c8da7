"""A language model as the judge of free answers, behind any OpenAI-compatible endpoint.

Temperature 0. What was judged once is not asked again: replies are kept by the content of the request. A judgement that
fails is counted apart and is no zero.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sklearn.metrics import cohen_kappa_score

from coat_ray.evaluation.asking.answers import EvaluationError, Progress
from coat_ray.evaluation.asking.chat import ChatEndpoint
from coat_ray.evaluation.marking.judge_prompts import JUDGE_PROMPTS, TOP_RATING, strict_rating
from coat_ray.evaluation.marking.marks import Mark
from coat_ray.provenance import fingerprint
from coat_ray.storage import atomic_write

KEY = "COAT_JUDGE_API_KEY"
"""Environment variable with the key of the judge's endpoint."""

AT_ONCE = 4
MOST_TOKENS = 1024


@dataclass(frozen=True)
class Case:
    """What a judge sees of one question."""

    question: str
    reference: str
    answer: str


@dataclass(frozen=True)
class Judgement:
    """A reply and the rating in it, 0 to 5; ``rating`` is None and ``failed`` says why where there is none."""

    rating: int | None
    harness_rating: int
    reply: str = ""
    failed: str | None = None

    @property
    def strict(self) -> Mark:
        """Share of the top rating; a failed judgement takes no part."""
        if self.rating is None:
            return Mark(0, 0, parsed=False)
        return Mark(self.rating / TOP_RATING, 1)

    @property
    def compatible(self) -> Mark:
        """As the harness counts it: what cannot be read is 0."""
        return Mark(self.harness_rating / TOP_RATING, 1, parsed=self.rating is not None)


@dataclass(frozen=True)
class Agreement:
    """Of two judges on the answers that both rated: Cohen's kappa, plain and with quadratic weights."""

    n: int
    kappa: float
    weighted_kappa: float
    equal: float


@dataclass(frozen=True)
class Judge:
    """One judge.

    Args:
        endpoint: its server.
        model: the model's name there.
        cache: folder of replies.
    """

    endpoint: ChatEndpoint
    model: str
    cache: Path

    def judge_all(self, prompt: str, cases: Sequence[Case], progress: Progress | None = None) -> list[Judgement]:
        """Judge answers, a few at a time.

        Args:
            prompt: key of ``JUDGE_PROMPTS``.
            cases: what was asked, expected and answered.
            progress: told (judged, in all).

        Raises:
            EvaluationError: not one judgement came about; the message gives the last reason.
        """
        judged: list[Judgement] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for judgement in pool.map(lambda case: self.judge(prompt, case), cases):
                judged.append(judgement)
                if progress:
                    progress(len(judged), len(cases))
        if judged and all(judgement.rating is None for judgement in judged):
            raise EvaluationError(f"the judge {self.model} at {self.endpoint.url} rated nothing: {judged[-1].failed}")
        return judged

    def judge(self, prompt: str, case: Case) -> Judgement:
        """Judge one answer; what goes wrong is in the judgement."""
        wanted = JUDGE_PROMPTS[prompt]
        content = wanted.ask(case.question, case.reference, case.answer)
        try:
            reply = self._reply(content)
        except EvaluationError as error:
            return Judgement(None, 0, failed=str(error))
        rating = strict_rating(reply)
        failed = None if rating is not None else f"no rating in {reply[:200]!r}"
        return Judgement(rating, wanted.harness_rating(reply), reply, failed)

    def _reply(self, content: str) -> str:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": MOST_TOKENS,
        }
        kept = self.cache / f"{fingerprint({'url': self.endpoint.url} | body)}.json"
        if kept.is_file():
            return str(json.loads(kept.read_text())["reply"])
        reply, _ = self.endpoint.complete(body)
        if not reply:
            raise EvaluationError("the judge's reply is empty")
        atomic_write(kept, json.dumps({"model": self.model, "reply": reply}, ensure_ascii=False) + "\n")
        return reply


def agreement(first: Sequence[Judgement], second: Sequence[Judgement]) -> Agreement:
    """How far two judges agree on the same answers.

    Raises:
        ValueError: not the same answers, or none that both rated.
    """
    pairs = [(a.rating, b.rating) for a, b in zip(first, second, strict=True)]
    rated = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not rated:
        raise ValueError("the two judges rated no answer in common")
    ones, others = [a for a, _ in rated], [b for _, b in rated]
    equal = sum(a == b for a, b in rated) / len(rated)
    if set(ones) == set(others) and len(set(ones)) == 1:  # kappa is 0/0 where both always say the same
        return Agreement(len(rated), 1.0, 1.0, equal)
    scale = list(range(TOP_RATING + 1))
    plain = float(cohen_kappa_score(ones, others, labels=scale))
    weighted = float(cohen_kappa_score(ones, others, labels=scale, weights="quadratic"))
    return Agreement(len(rated), plain, weighted, equal)
