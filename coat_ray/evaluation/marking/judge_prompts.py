"""What a judge is asked for each benchmark, and how its reply is read.

The wording is a fact of the public harness, quoted from lmms-eval 0.7.3 (tasks alpaca_audio and wavcaps), which has it
from AudioBench: scores compare only where the judge is asked the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

TOP_RATING = 5

RATE_AGAINST_REFERENCE = """
            [Question]
            {question}

            [Reference Answer]
            {ground_truth}

            [Model Answer]
            {model_response}

            [Task]
            Rate the model's answer based on its alignment with the reference answer, focusing on accuracy and relevance to the reference provided. Please be critical on the details.
            Criteria: Assess if the model's response mirrors the reference in terms of content, accuracy, and relevance.
            Score0: The answer is completely misaligned, providing incorrect or irrelevant information compared to the reference.
            Score1: The answer shows minimal alignment, often misunderstanding or providing irrelevant details unrelated to the reference.
            Score2: The answer recognizes the topic but diverges significantly from the reference in accuracy or relevance.
            Score3: The answer aligns with the reference generally but lacks detail or precise accuracy in some aspects.
            Score4: The answer is mostly accurate and relevant, closely following the reference but could be clearer or more detailed.
            Score5: The answer is highly accurate, detailed, and matches the reference answer perfectly, capturing its essence and detail.

            Your response should be formatted as follows:
            Explanation: (Provide a concise explanation of your rating, comparing the reference answer with the model's response. "The reference answer is [XXX], while the model's answer is [YYY]. I think ...")
            Rating: (int)"""  # noqa: E501 - quoted

_RATING = re.compile(r"\bRating\W*\s*\(?([0-5])(?![\d.]*\d)\)?", re.IGNORECASE)


@dataclass(frozen=True)
class JudgePrompt:
    """A prompt with {question}, {ground_truth} and {model_response}; how the harness reads the rating in a reply."""

    template: str
    harness_rating: Callable[[str], int]

    def ask(self, question: str, reference: str, answer: str) -> str:
        """The message to the judge."""
        return self.template.format(question=question, ground_truth=reference, model_response=answer)


def strict_rating(reply: str) -> int | None:
    """The rating that a reply states as "Rating: 4", 0 to 5; None where it states none, or different ones."""
    found = {int(rating) for rating in _RATING.findall(reply)}
    return found.pop() if len(found) == 1 else None


def _anywhere(reply: str) -> int:
    """As in alpaca_audio: the first digit from 0 to 5, wherever it stands; 0 without one."""
    found = re.search(r"[0-5]", reply)
    return int(found[0]) if found else 0


def _at_end(reply: str) -> int:
    """As in wavcaps: the rating that the reply ends with; 0 without one."""
    found = re.search(r"Rating:\s*([0-5])\s*$", reply)
    return int(found[1]) if found else 0


JUDGE_PROMPTS = {
    "rating_anywhere": JudgePrompt(RATE_AGAINST_REFERENCE, _anywhere),
    "rating_at_end": JudgePrompt(RATE_AGAINST_REFERENCE, _at_end),
}
