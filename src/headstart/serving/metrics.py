"""Metrics of a server, in the text format of Prometheus."""

import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from headstart.runs.predictor import Answer, Problem
from headstart.serving.limits import App, Message, Receive, Scope, Send

_CLIENT_CLOSED_REQUEST = 499
"""The client disconnected before the answer; nginx uses the same number."""


class Metrics:
    """Metrics of one server.

    Attributes:
        requests: number of requests, by path and status.
        seconds: from the first byte of a request to the last byte of its answer, by path.
        answers: number of examples, by run and kind: answered, unsure, problem.
        out_of_distribution: number of out-of-distribution examples, by run.
        batch: examples per batch, by run.
        waiting: examples without an answer, by run.
        reloads: new versions of runs, by run and outcome: done, failed.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "headstart_requests", "Requests, by path and status.", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "headstart_request_seconds",
            "Seconds from the first byte of a request to the last byte of its answer.",
            ["path"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.answers = Counter(
            "headstart_answers",
            "Examples, by kind: answered, unsure or problem.",
            ["run", "kind"],
            registry=self.registry,
        )
        self.out_of_distribution = Counter(
            "headstart_out_of_distribution", "Out-of-distribution examples.", ["run"], registry=self.registry
        )
        self.batch = Histogram(
            "headstart_batch_examples",
            "Examples per batch.",
            ["run"],
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self.registry,
        )
        self.waiting = Gauge(
            "headstart_waiting_examples", "Examples without an answer.", ["run"], registry=self.registry
        )
        self.reloads = Counter(
            "headstart_reloads",
            "New versions of runs, by outcome: done or failed.",
            ["run", "outcome"],
            registry=self.registry,
        )

    def count_answers(self, run: str, answers: Sequence[Answer]) -> None:
        """Count the answers of one request."""
        for answer in answers:
            kind = "problem" if isinstance(answer, Problem) else "unsure" if answer.unsure else "answered"
            self.answers.labels(run, kind).inc()
            if not isinstance(answer, Problem) and answer.out_of_distribution:
                self.out_of_distribution.labels(run).inc()

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


class RequestCounter:
    """Middleware: counts requests and measures their time, by the path of the route."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), _CLIENT_CLOSED_REQUEST

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, record_status)
        except Exception:
            status = 500
            raise
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(path, status).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - start)
