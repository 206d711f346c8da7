"""``POST /v1/audio/transcriptions``: one clip, what is said in it.

The models here give no times: a transcript is one segment that covers the clip.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from coat_ray.inference.requests import Request, Result, Sampling
from coat_ray.model.backbones.base import AUDIO_MARK
from serve.access import Asking, Caller
from serve.openai.clips import Clip, decoded_clip
from serve.openai.errors import ApiError
from serve.openai.intake import check_kind
from serve.openai.metering import OWNER, count_audio
from serve.openai.names import model_for, source_of
from serve.openai.questions import Question, check_text
from serve.openai.schema import invalid
from serve.openai.serving import Serving, serving_of
from serve.openai.waiting import Answering

INSTRUCTION = "Transcribe the speech."
UNDETERMINED = "und"
"""The language of a transcript whose sender did not say it (ISO 639-2)."""

_MOST_FIELDS = 32
_FIELD_BYTES = 65_536

router = APIRouter(tags=["audio"])


class Form(BaseModel):
    """The fields beside the file; what OpenAI's API knows beyond these is ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    model: Annotated[str, Field(max_length=300)]
    response_format: Literal["json", "text", "verbose_json", "srt", "vtt"] = "json"
    language: Annotated[str, Field(max_length=20)] = UNDETERMINED
    prompt: str = ""
    temperature: float = 0.0
    stream: Literal[False] = False


@router.post("/audio/transcriptions", response_model=None)
async def transcribed(request: HttpRequest, asking: Asking) -> Response:
    """Answer with a transcript in the form that was asked for."""
    check_kind(request, "multipart/form-data")
    serving, answering = serving_of(request), Answering()
    async with serving.intake.room_for(request, asking):
        form = await serving.intake.in_time(
            lambda: request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES)
        )
        try:
            fields, data = await _fields(form)
        finally:
            await form.close()
        arguments = (serving, asking, fields, data, answering)
        question = await to_thread.run_sync(_begun, *arguments, limiter=serving.threads)
    result = await answering.result(request)
    return _answer(result, question.clips[0], fields)


async def _fields(form: FormData) -> tuple[Form, bytes]:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise ApiError(400, "file: send the clip as a file in the field 'file'", "invalid_request", param="file")
    try:
        fields = Form.model_validate({name: text for name, text in form.items() if isinstance(text, str)})
    except ValidationError as error:
        raise invalid(error) from error
    wanted = form.getlist("timestamp_granularities[]")
    if any(granularity != "segment" for granularity in wanted):
        param = "timestamp_granularities"
        raise ApiError(400, f"{param}: these models give no times of words", "unsupported_value", param=param)
    return fields, await file.read()


def _begun(serving: Serving, asking: Caller, fields: Form, data: bytes, answering: Answering) -> Question:
    model = model_for(serving, asking, fields.model)
    sampling = Sampling(max_tokens=serving.limits.transcript_tokens, temperature=fields.temperature)
    prompt = check_text(fields.prompt, serving, "prompt")
    clip = decoded_clip(data, serving, "file")
    if clip.cut:
        heard = f"{serving.heard_seconds:g} s"
        message = f"file: the clip has {clip.seconds:.1f} s and this model hears {heard}; cut it into pieces"
        raise ApiError(400, message, "audio_too_long", param="file")
    count_audio(serving, asking, [clip])
    content = "\n".join(filter(None, (AUDIO_MARK, INSTRUCTION, prompt)))
    request = Request(
        [{"role": "user", "content": content}],
        [clip.signal],
        source_of(serving, model),
        sampling=sampling,
        tenant=asking.principal.tenant or OWNER,
        stream=False,
    )
    answering.begin(serving, request)
    return Question(request, [clip], model.id)


def _answer(result: Result, clip: Clip, fields: Form) -> Response:
    text, kind = result.text.strip(), fields.response_format
    headers = {"x-coat-finish-reason": result.finish_reason}  # "length": there was more to say
    if kind == "text":
        return PlainTextResponse(f"{text}\n", headers=headers)
    if kind == "srt":
        return PlainTextResponse(f"1\n{_clock(0, ',')} --> {_clock(clip.seconds, ',')}\n{text}\n\n", headers=headers)
    if kind == "vtt":
        cue = f"{_clock(0, '.')} --> {_clock(clip.seconds, '.')}"
        return PlainTextResponse(f"WEBVTT\n\n{cue}\n{text}\n\n", headers=headers, media_type="text/vtt")
    body: dict[str, Any] = {"text": text, "usage": {"type": "duration", "seconds": math.ceil(clip.seconds)}}
    if kind == "verbose_json":
        end = round(clip.seconds, 3)
        segment = {"id": 0, "seek": 0, "start": 0.0, "end": end, "text": text, "temperature": fields.temperature}
        tokens = list(result.tokens)
        body |= {"task": "transcribe", "language": fields.language, "duration": end}
        body |= {"segments": [{**segment, "tokens": tokens}]}
    return JSONResponse(body, headers=headers)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
