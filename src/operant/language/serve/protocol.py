"""OpenAI's protocol: what a request may say, what an answer looks like, and how a mistake is told.

What would change the answer and is not done here (tools, penalties, forced formats) is refused, never ignored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError, field_validator

from operant.config.bounded import loads
from operant.config.errors import ConfigError
from operant.config.suggest import did_you_mean, nearest
from operant.language.model.language_model import LanguageModel, ends
from operant.language.sample.sampling import Sampling
from operant.language.serve.detokenize import longest_token
from operant.language.serve.scheduler import WAITING
from operant.language.text.rendering import rendering_of

STOPS, PROMPTS, MESSAGES = 16, 256, 2**15
"""Stop texts in a request, prompts, and messages."""
SLACK = 4
"""A text may be so many times as long as its tokens: some tokenizers join characters, or leave blanks out."""
COOLEST = 1e-6
"""The lowest temperature but 0: logits over a lower one are no float32."""
MOST = 2**31 - 1
"""Of a number in a request."""

StopText = Annotated[str, Field(max_length=1000)]
Tokens = Annotated[int, Field(ge=1, le=MOST)]


class RequestError(Exception):
    """A request that cannot be answered, as the protocol tells it.

    Args:
        message: what is wrong, and what to do.
        status: of the HTTP answer.
        param: the field.
        code: a word for programs.
    """

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        kind = "invalid_request_error" if status < 500 and status != 429 else "server_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _parts(value: Any) -> Any:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


def _prompts(value: Any) -> Any:
    """One prompt as a list of one; looked through here, as pydantic would tell of every token that is none."""
    prompts = [value] if isinstance(value, str) or _is_tokens(value) else value
    if isinstance(prompts, list) and not all(isinstance(p, str) or p == [] or _is_tokens(p) for p in prompts):
        raise ValueError("each prompt is a text or a list of tokens")
    return prompts


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(type(x) is int for x in value)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Part(_Strict):
    type: Literal["text"]
    text: str


class _Message(_Strict):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[list[_Part], BeforeValidator(_parts)]
    name: str | None = None


class _StreamOptions(_Strict):
    include_usage: bool = False


class _Format(_Strict):
    type: Literal["text"]


class Request(_Strict):
    """What both kinds have. `top_k`, `min_p`, `return_token_ids` and `prompt_logprobs` are as vLLM has them."""

    model: str | None = None
    temperature: float = Field(default=1.0, ge=0.0, le=2.0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    top_k: int = Field(default=0, ge=0, le=MOST)
    min_p: float = Field(default=0.0, ge=0.0, le=1.0)
    n: int = Field(default=1, ge=1, le=128)
    stop: Annotated[list[StopText], BeforeValidator(_listed)] = Field(default=[], max_length=STOPS)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stream: bool = False
    stream_options: _StreamOptions | None = None
    user: str | None = None  # who asks makes no difference
    presence_penalty: float = Field(default=0.0, ge=0.0, le=0.0)
    frequency_penalty: float = Field(default=0.0, ge=0.0, le=0.0)
    logit_bias: dict[str, float] = Field(default={}, max_length=0)
    return_token_ids: bool = False
    prompt_logprobs: int | None = Field(default=None, ge=0, le=0)  # of the prompt's own tokens, and of no others

    @field_validator("temperature")
    @classmethod
    def _is_warm_enough(cls, value: float) -> float:
        if 0.0 < value < COOLEST:
            raise ValueError(f"0 takes the most probable token; above it, give {COOLEST:g} or more")
        return value


class ChatRequest(Request):
    """POST /v1/chat/completions."""

    messages: Annotated[list[_Message], FailFast()] = Field(min_length=1, max_length=MESSAGES)
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    response_format: _Format | None = None
    tools: list[Any] = Field(default=[], max_length=0)
    tool_choice: Literal["none", "auto"] | None = None
    store: Literal[False] = False
    metadata: dict[str, str] | None = Field(default=None, max_length=16)


class CompletionRequest(Request):
    """POST /v1/completions."""

    prompt: Annotated[list[str | list[int]], BeforeValidator(_prompts)] = Field(min_length=1, max_length=PROMPTS)
    max_tokens: int = Field(default=16, ge=0, le=MOST)
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: bool = False
    best_of: Literal[1] = 1


R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request that can be answered."""

    prompts: tuple[tuple[int, ...], ...]
    sampling: Sampling
    samples: int
    stops: tuple[str, ...]
    seed: int | None
    top: int | None  # most probable tokens to tell; None where no log-probabilities are asked for
    stream: bool
    usage: bool  # at the end of a stream
    echo: bool = False  # the prompt is part of the answer
    follows: bool = False  # the text goes on from a text, and is no turn
    write: bool = True  # False: nothing but the prompt is
    ids: bool = False  # tokens are told by their numbers, too
    score: bool = False  # the log-probabilities of the prompt's tokens are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What is served.

    Attributes:
        name: what requests call it.
        policy: the model.
        length: the longest prompt and completion, in tokens.
        created: when it was loaded, in seconds since 1970.
    """

    name: str
    policy: LanguageModel
    length: int
    created: int

    def chat(self, body: Any) -> Wanted:
        """Read a request to /v1/chat/completions.

        Raises:
            RequestError: if it cannot be answered.
        """
        asked = self._read(ChatRequest, body)
        if asked.top_logprobs is not None and not asked.logprobs:
            raise RequestError("top_logprobs needs logprobs: true", param="top_logprobs")
        if asked.max_tokens is not None and asked.max_completion_tokens is not None:
            raise RequestError("max_tokens and max_completion_tokens mean the same: give one", param="max_tokens")
        if getattr(self.policy.tokenizer, "chat_template", None) is None:
            raise RequestError(
                "this model has no chat template: use /v1/completions, or serve a model that was tuned to talk",
                param="messages",
            )
        self._fits("".join(part.text for message in asked.messages for part in message.content), "messages")
        try:
            prompt = tuple(rendering_of(self.policy.tokenizer).turns([_plain(m) for m in asked.messages], prompt=True))
        except ConfigError as error:
            raise RequestError(str(error), param="messages") from None
        room = self.length - len(prompt)
        limit = asked.max_tokens or asked.max_completion_tokens or max(room, 1)
        top = (asked.top_logprobs or 0) if asked.logprobs else None
        return self._wanted(asked, [prompt], limit, top, "messages")

    def completion(self, body: Any) -> Wanted:
        """Read a request to /v1/completions.

        Raises:
            RequestError: if it cannot be answered.
        """
        asked = self._read(CompletionRequest, body)
        if not asked.max_tokens and not asked.echo:
            raise RequestError(
                "max_tokens is 0, so there is nothing to do: give echo: true, or more", param="max_tokens"
            )
        for text in filter(lambda p: isinstance(p, str), asked.prompt):
            self._fits(text, "prompt")
        prompts = [
            tuple(rendering_of(self.policy.tokenizer).text(p) if isinstance(p, str) else p) for p in asked.prompt
        ]
        return self._wanted(asked, prompts, asked.max_tokens, asked.logprobs, "prompt", echo=asked.echo)

    def _fits(self, text: str | list[int], param: str) -> None:
        """Refuse a text that is too long whatever its tokens are: to count those of megabytes takes many seconds."""
        if len(text) > (most := SLACK * longest_token(self.policy.tokenizer) * self.length):
            raise RequestError(
                f"{param}: {len(text):,} characters, and {self.length} tokens cannot be of more than {most:,}",
                param=param,
                code="context_length_exceeded",
            )

    def _wanted(
        self, asked: Request, prompts: Sequence[tuple[int, ...]], limit: int, top: int | None, param: str, *,
        echo: bool = False,
    ) -> Wanted:  # fmt: skip
        for prompt in prompts:
            if not prompt:
                raise RequestError(f"{param}: there is nothing to go on from", param=param)
            if min(prompt) < 0 or max(prompt) >= self.policy.vocab:
                raise RequestError(f"{param}: a token is outside of the model's {self.policy.vocab}", param=param)
            if len(prompt) + limit > self.length:
                raise RequestError(
                    f"This model's maximum context length is {self.length} tokens, but {len(prompt) + limit} were "
                    f"asked for ({len(prompt)} in the {param}, {limit} to write). Shorten it, or lower max_tokens.",
                    param=param,
                    code="context_length_exceeded",
                )
        if len(prompts) * asked.n > WAITING:
            what = f"{len(prompts)} prompts and n {asked.n}"
            raise RequestError(f"{what} are more completions than may wait, {WAITING}: ask in parts", param="n")
        if "" in asked.stop:
            raise RequestError("stop: an empty text would end every answer", param="stop")
        sampling = Sampling(
            temperature=asked.temperature, top_k=asked.top_k, top_p=asked.top_p, min_p=asked.min_p,
            max_tokens=max(limit, 1), stop=ends(self.policy, chat=param == "messages"),
        )  # fmt: skip
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        if asked.stream_options is not None and not asked.stream:
            raise RequestError("stream_options needs stream: true", param="stream_options")
        return Wanted(
            prompts=tuple(prompts), sampling=sampling, samples=asked.n, stops=tuple(asked.stop), seed=asked.seed,
            top=top, stream=asked.stream, usage=usage, echo=echo, follows=param == "prompt", write=limit > 0,
            ids=asked.return_token_ids, score=asked.prompt_logprobs is not None,
        )  # fmt: skip

    def _read(self, kind: type[R], body: Any) -> R:
        if not isinstance(body, dict):
            raise RequestError("the body is not a JSON object")
        if (unknown := next((name for name in body if name not in kind.model_fields), None)) is not None:
            guess = did_you_mean(nearest(unknown[:100], list(kind.model_fields)))
            raise RequestError(f"Unrecognized request argument supplied: {unknown[:100]}.{guess}", param=unknown[:100])
        try:
            asked = kind.model_validate(_without_null(body))
        except ValidationError as error:
            raise _told(kind, error) from None
        if asked.model not in (None, self.name):
            raise RequestError(
                f"The model {asked.model!r} does not exist; {self.name!r} is served here.",
                status=404,
                param="model",
                code="model_not_found",
            )
        return asked


def parse(text: bytes) -> Any:
    """JSON as the standard has it.

    Raises:
        RequestError: if it is not.
    """
    try:
        found = loads(text, constant=_refuse)
        if b"\\ud" in text.lower():
            json.dumps(found, ensure_ascii=False).encode()  # half of a character is none
        return found
    except ValueError as error:
        raise RequestError(f"the body is not JSON: {error}") from None


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _without_null(value: Any) -> Any:
    """The same without fields that are null: they mean what a missing one means."""
    if isinstance(value, dict):
        return {k: _without_null(v) for k, v in value.items() if v is not None}
    return [_without_null(v) for v in value] if isinstance(value, list) else value


def _plain(message: _Message) -> dict[str, str]:
    role = "system" if message.role == "developer" else message.role
    return {"role": role, "content": "".join(part.text for part in message.content)} | (
        {"name": message.name} if message.name else {}
    )


REFUSED = {
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), "no penalties here: leave it out"),
    "logit_bias": "tokens cannot be favoured here: leave it out",
    **dict.fromkeys(("tools", "tool_choice"), "this server calls no tools: leave it out"),
    "response_format": "no format can be forced here: leave it out",
    "best_of": "only 1 here: ask for n, and choose",
    "store": "nothing is stored here: leave it out",
    "prompt_logprobs": "of the prompt's own tokens alone: give 0",
}


def _told(kind: type[Request], error: ValidationError) -> RequestError:
    """The first mistake that pydantic found."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in first["loc"]]
    param = path[0] if path else None
    if param in REFUSED:
        return RequestError(f"{param}: {REFUSED[param]}", param=param)
    where = ".".join(path)
    said = first["msg"].removeprefix("Value error, ")
    what = "is missing" if first["type"] == "missing" else said[:1].lower() + said[1:]
    return RequestError(f"{where}: {what}", param=param)
