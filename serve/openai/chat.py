"""``POST /v1/chat/completions``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from serve.access import Asking, Caller
from serve.openai.answers import ChatAnswer
from serve.openai.intake import check_kind
from serve.openai.questions import Asked, Question, chat_question, read_chat
from serve.openai.serving import Serving, serving_of
from serve.openai.waiting import Answering
from serve.streams import Stream

router = APIRouter(tags=["chat"])


@router.post("/chat/completions", response_model=None)
async def completed(request: Request, asking: Asking) -> Response:
    """Answer a conversation, whole or as a stream."""
    check_kind(request, "application/json")
    serving, answering = serving_of(request), Answering()
    async with AsyncExitStack() as held:
        await held.enter_async_context(serving.intake.room_for(request, asking))
        body = await serving.intake.in_time(request.body)
        asked = await to_thread.run_sync(read_chat, serving, asking, body, limiter=serving.threads)
        if asked.remote:  # what is fetched lies here until it is unpacked
            await held.enter_async_context(serving.intake.room(serving.limits.body_bytes, asking))
        fetched = await serving.remote.clips(asked.remote) if asked.remote else {}
        arguments = (serving, asking, asked, fetched, answering)
        question = await to_thread.run_sync(_begun, *arguments, limiter=serving.threads)
    answer = ChatAnswer(question, asked.chat, serving)
    if not asked.chat.stream:
        return JSONResponse(await answer.whole(await answering.result(request)))
    first = await answering.first(request)  # what fails before it still has a status
    return Stream(answer.lines(answering, first), answering.cancel, "text/event-stream")


def _begun(
    serving: Serving, asking: Caller, asked: Asked, fetched: Mapping[str, bytes], answering: Answering
) -> Question:
    question = chat_question(serving, asking, asked, fetched)
    answering.begin(serving, question.request)
    return question
