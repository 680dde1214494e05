"""The HTTP API: its addresses, and what they return."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from headstart.runs.predictor import Predictor, Problem
from headstart.serving.limits import RETRY_AFTER_S, Gate, Limits, RefusedError
from headstart.serving.metrics import Metrics, RequestCounter
from headstart.serving.prefix import Prefix
from headstart.serving.runs import Runs, ServedRun, Stamp
from headstart.serving.schema import REQUEST_BODY, Answers, Refusal, RunFacts, State, read_json

_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "The body cannot be read."},
    401: {"model": Refusal, "description": "The token is missing or wrong."},
    404: {"model": Refusal, "description": "There is no such run."},
    408: {"model": Refusal, "description": "The request took too long to arrive."},
    413: {"model": Refusal, "description": "The request is too large, or has too many images or texts."},
    415: {"model": Refusal, "description": "The body is neither multipart/form-data nor application/json."},
    422: {"model": Refusal, "description": "Nothing in the request can be used."},
    503: {"model": Refusal, "description": "Too many requests are waiting: try again after Retry-After seconds."},
    504: {"model": Refusal, "description": "The answer took too long."},
}

TopK = Annotated[int | None, Query(ge=1, description="Return the probabilities of this many classes; default: all.")]

MinScore = Annotated[
    float | None,
    Query(ge=0, le=1, description="Return objects from this score on; default: the thresholds of the run."),
]


def create_app(
    opened: Mapping[str, tuple[Predictor, Stamp]], limits: Limits, token: str | None = None, root_path: str = ""
) -> FastAPI:
    """The application, for any ASGI server.

    Args:
        opened: name -> result of :func:`headstart.serving.runs.open_run`.
        limits: limits of requests.
        token: the token that clients must send; None if no token is needed.
        root_path: prefix of the addresses at a proxy in front of the server, such as ``/vision``.

    After its start the state of the application has ``runs``. A server sets ``is_ending`` when it shuts down.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.runs = Runs(opened, limits, metrics)
        watch_task = asyncio.create_task(app.state.runs.watch())
        yield
        watch_task.cancel()
        await app.state.runs.close()

    app = FastAPIOffline(
        title="headstart",
        version=version("headstart"),
        description="Predictions of headstart runs for images and texts.",
        lifespan=lifespan,
        redoc_url=None,
        static_url="/static",
        dependencies=[Depends(HTTPBearer(auto_error=False))]
        if token
        else [],  # only for the description; the Gate checks the token
    )
    app.state.is_ending = False
    app.add_middleware(Gate, limits=limits, token=token, refuse=_refusal)
    app.add_middleware(RequestCounter, metrics=metrics)
    app.add_middleware(Prefix, prefix=root_path)
    app.add_exception_handler(RefusedError, _handle_refused)
    app.add_exception_handler(RequestValidationError, _handle_invalid)
    app.add_exception_handler(HTTPException, _handle_http_error)
    _add_predict(app, limits)
    _add_status(app, metrics)
    return app


def _add_predict(app: FastAPI, limits: Limits) -> None:
    options: dict[str, Any] = {
        "response_model": Answers,
        "responses": _REFUSALS,
        "openapi_extra": {"requestBody": REQUEST_BODY},
    }

    @app.post("/predict", summary="Predictions of the only run", **options)
    async def predict(request: Request, top_k: TopK = None, min_score: MinScore = None) -> Response:
        """Predict labels for images or texts, or detect objects in images.

        If there are several runs, use `/predict/{run}`.
        """
        return await _answer(request, app.state.runs.find(None), limits, top_k, min_score)

    @app.post("/predict/{run}", summary="Predictions of one run", **options)
    async def predict_with(request: Request, run: str, top_k: TopK = None, min_score: MinScore = None) -> Response:
        """Predict labels for images or texts, or detect objects in images, with the run of this name."""
        return await _answer(request, app.state.runs.find(run), limits, top_k, min_score)


def _add_status(app: FastAPI, metrics: Metrics) -> None:
    @app.get("/runs", responses={401: _REFUSALS[401]})
    async def runs() -> list[RunFacts]:
        """The runs of this server."""
        return [_facts(served) for served in app.state.runs]

    @app.get("/health")
    async def health() -> State:
        """Whether the process is alive."""
        return State(status="alive")

    @app.get("/ready", responses={503: {"model": State, "description": "The server is shutting down."}})
    async def ready(response: Response) -> State:
        """Whether the server accepts requests."""
        response.status_code = 503 if app.state.is_ending else 200
        return State(status="ending" if app.state.is_ending else "ready")

    @app.get("/metrics", response_class=Response, responses={401: _REFUSALS[401]})
    async def read_metrics() -> Response:
        """Metrics in the text format of Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _answer(
    request: Request, served: ServedRun, limits: Limits, top_k: int | None, min_score: float | None
) -> Response:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        body = await request.body()
        names, contents = await asyncio.to_thread(read_json, body, served.predictor.modality)
    elif kind == "multipart/form-data":
        names, contents = await _read_files(request, limits)
    else:
        raise RefusedError(415, f"content type {kind or 'missing'}: expected multipart/form-data or application/json.")
    if len(contents) > limits.items:
        raise RefusedError(413, f"{len(contents)} images or texts in one request: at most {limits.items} are accepted.")
    answers = await served.answers(names, contents, top_k, min_score)
    problems = [answer for answer in answers if isinstance(answer, Problem)]
    if len(problems) == len(answers):
        raise RefusedError(422, f"{problems[0].file}: {problems[0].reason}.")
    return JSONResponse({"run": served.name, "answers": [answer.to_dict() for answer in answers]})


async def _read_files(request: Request, limits: Limits) -> tuple[list[str], list[bytes]]:
    """Names and contents of the files in a form."""
    parser = MultiPartParser(request.headers, request.stream(), max_files=limits.items, max_fields=limits.items)
    parser.spool_max_size = limits.request_bytes  # the body is in memory already, so no file is written
    try:
        form = await parser.parse()
    except MultiPartException as exc:
        raise RefusedError(
            413 if "Too many" in exc.message else 400, f"the form cannot be read: {exc.message}"
        ) from exc
    except KeyError as exc:
        raise RefusedError(400, "the form cannot be read: its content type has no boundary.") from exc
    try:
        files = [field for field in form.getlist("files") if not isinstance(field, str)]
        if not files:
            raise RefusedError(422, "there are no files: send them as the field `files`, each with a file name.")
        return [file.filename or f"files[{n}]" for n, file in enumerate(files)], [await file.read() for file in files]
    finally:
        await form.close()


def _facts(served: ServedRun) -> RunFacts:
    predictor, facts = served.predictor, served.predictor.facts
    return RunFacts(
        name=served.name,
        modality=predictor.modality.name,
        classes=predictor.classes,
        task=predictor.task.name,
        thresholds=facts.thresholds,
        min_confidence=predictor.min_confidence,
        base=facts.base.handle,
        created=facts.created,
    )


def _refusal(exc: RefusedError) -> JSONResponse:
    headers = {503: {"Retry-After": str(RETRY_AFTER_S)}, 401: {"WWW-Authenticate": "Bearer"}}.get(exc.status)
    return JSONResponse({"detail": exc.detail}, exc.status, headers)


async def _handle_refused(request: Request, exc: Any) -> Response:
    return _refusal(exc)


async def _handle_invalid(request: Request, exc: Any) -> Response:
    first = exc.errors()[0]
    return _refusal(RefusedError(422, f"{first['loc'][-1]}: {first['msg']}."))


async def _handle_http_error(request: Request, exc: Any) -> Response:
    return JSONResponse({"detail": str(exc.detail)}, exc.status_code, exc.headers)
