"""``POST /v1/chat/completions``."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from serve.access import Asking, Caller
from serve.openai.answers import ChatAnswer
from serve.openai.intake import check_kind
from serve.openai.questions import Question, chat_question
from serve.openai.schema import ChatRequest
from serve.openai.serving import Serving, serving_of
from serve.openai.waiting import Answering
from serve.streams import Stream

router = APIRouter(tags=["chat"])


@router.post("/chat/completions", response_model=None)
async def completed(request: Request, asking: Asking) -> Response:
    """Answer a conversation, whole or as a stream."""
    check_kind(request, "application/json")
    serving, answering = serving_of(request), Answering()
    async with serving.intake.room_for(request, asking):
        body = await serving.intake.in_time(request.body)
        question, asked = await to_thread.run_sync(_begun, serving, asking, body, answering, limiter=serving.threads)
    answer = ChatAnswer(question, asked, serving)
    if not asked.stream:
        return JSONResponse(await answer.whole(await answering.result(request)))
    first = await answering.first(request)  # what fails before it still has a status
    return Stream(answer.lines(answering, first), answering.cancel, "text/event-stream")


def _begun(serving: Serving, asking: Caller, body: bytes, answering: Answering) -> tuple[Question, ChatRequest]:
    question, asked = chat_question(serving, asking, body)
    answering.begin(serving.engine, question.request)
    return question, asked
