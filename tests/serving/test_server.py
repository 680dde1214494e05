"""``headstart serve``, as a process that really listens."""

import base64
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from struct import pack
from typing import Any

import click
import pytest
from PIL import Image

import headstart as hs
from headstart.cli.main import cli

pytestmark = pytest.mark.slow  # many processes, each with runs to open

PROGRAM = """
import atexit, sys
heavy = {"tensorflow", "keras", "torch", "jax"}
atexit.register(lambda: print("imported:", sorted(heavy & set(sys.modules))))
from headstart.cli.main import main
main()
"""
"""The installed command; at its end it says which heavy packages it has imported."""

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]
"""Of schemathesis."""

MULTIPART = "multipart/form-data; boundary=XX"
JSON = "application/json"


class Server:
    """A server process, and one way to ask it."""

    def __init__(self, folder: Path, *arguments: object, token: str | None = None) -> None:
        self.log, self.token = folder / "log", token
        env = {**os.environ, **({"HEADSTART_TOKEN": token} if token else {})}
        command = [sys.executable, "-X", "faulthandler", "-c", PROGRAM, "serve", *map(str, arguments), "--port", "0"]
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=env)
        deadline = time.monotonic() + 60
        while "serving " not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.port = int(self.log.read_text().partition("/docs")[0].rpartition(":")[2])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(
        self,
        path: str,
        body: Any = None,
        kind: str = JSON,
        connection: http.client.HTTPConnection | None = None,
        **more: str,
    ) -> tuple[int, Any]:
        """The status and the content of an answer."""
        if connection is None:
            with closing(self.connect()) as connection:
                return self.ask(path, body, kind, connection, **more)
        headers = {"Content-Type": kind} if body is not None else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection.request("GET" if body is None else "POST", path, body, {**headers, **more})
        with connection.getresponse() as answer:
            content = answer.read()
            return answer.status, json.loads(content) if answer.headers["Content-Type"] == JSON else content.decode()

    def first_line(self, sent: bytes) -> bytes:
        """The first line of what comes back for some bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(sent)
            with connection.makefile("rb") as answer:
                return answer.readline()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def server(run: hs.Run, text_run: hs.Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = ("--max-mb", 2, "--max-megapixels", 5, "--max-items", 8)
    running = Server(tmp_path_factory.mktemp("server"), f"photos={run.folder}", f"books={text_run.folder}", *limits)
    yield running
    assert running.end() == 0
    assert "imported: []" in running.log.read_text()  # neither Keras nor what it runs on


def form(*files: tuple[str, bytes]) -> bytes:
    """Files as a form in a browser sends them."""
    head = '--XX\r\nContent-Disposition: form-data; name="files"; filename="{}"\r\n\r\n'
    return b"".join(head.format(name).encode() + data + b"\r\n" for name, data in files) + b"--XX--\r\n"


def in_base64(*contents: bytes) -> str:
    return json.dumps({"images": [base64.b64encode(content).decode() for content in contents]})


def png(width: int, height: int, data: bytes) -> bytes:
    """A PNG file that claims to be of some size, regardless of its data."""
    chunks = ((b"IHDR", pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def test_it_answers_as_predict_does(server: Server, run: hs.Run, photos: Path) -> None:
    paths = [photos / "china/00.jpg", photos / "flower/03.jpg"]
    expected = [answer.to_dict() for answer in run.predict(paths, min_confidence="auto")]
    status, content = server.ask(
        "/predict/photos", form(*((path.name, path.read_bytes()) for path in paths), ("no.jpg", b"nothing")), MULTIPART
    )
    assert status == 200
    assert content["run"] == "photos"
    *answers, bad = content["answers"]
    assert bad["file"] == "no.jpg"
    assert "not an image" in bad["reason"]
    for answer, prediction in zip(answers, expected, strict=True):
        assert answer["file"] == Path(prediction["file"]).name
        assert answer["probability"] == pytest.approx(prediction["probability"], abs=1e-3)
        assert list(answer["probabilities"]) == list(prediction["probabilities"])
        assert {key: answer[key] for key in ("predicted", "unsure", "out_of_distribution")} == {
            key: prediction[key] for key in ("predicted", "unsure", "out_of_distribution")
        }

    images = json.loads(in_base64(*(path.read_bytes() for path in paths)))["images"]
    images[1] = "data:image/jpeg;base64," + images[1]
    status, content = server.ask("/predict/photos?top_k=1", json.dumps({"images": images}))
    assert status == 200
    assert [one["file"] for one in content["answers"]] == ["images[0]", "images[1]"]
    assert [one["predicted"] for one in content["answers"]] == ["china", "flower"]
    assert [len(one["probabilities"]) for one in content["answers"]] == [1, 1]


def test_texts(server: Server, text_run: hs.Run) -> None:
    texts = ["The class of the object raises an exception.", "The samples were measured in this data set."]
    expected = [answer.to_dict() for answer in text_run.predict(texts)]  # it has no threshold of its own
    status, content = server.ask("/predict/books", json.dumps({"texts": texts}))
    assert status == 200
    assert [one["predicted"] for one in content["answers"]] == [one["predicted"] for one in expected]
    assert [one["unsure"] for one in content["answers"]] == [one["unsure"] for one in expected]
    status, content = server.ask("/predict/books", json.dumps({"texts": ["word " * 50_000, "", texts[0]]}))
    assert status == 200
    assert ["too long" in content["answers"][0]["reason"], content["answers"][1]["reason"]] == [True, "it has no text"]
    status, content = server.ask("/predict/books", form(("a.txt", texts[0].encode())), MULTIPART)
    assert (status, content["answers"][0]["predicted"]) == (200, expected[0]["predicted"])


def test_several_runs_by_name(server: Server) -> None:
    status, runs = server.ask("/runs")
    assert status == 200
    assert [(one["name"], one["modality"]) for one in runs] == [("photos", "image"), ("books", "text")]
    assert runs[0]["classes"] == ["china", "flower"]
    assert [one["task"] for one in runs] == ["single-label", "single-label"]
    some = json.dumps({"texts": ["some text"]})
    assert server.ask("/predict", some)[0] == 422
    assert "photos or books" in server.ask("/predict", some)[1]["detail"]
    assert server.ask("/predict/book", some)[0] == 404
    assert "Did you mean 'books'?" in server.ask("/predict/book", some)[1]["detail"]
    assert "takes images" in server.ask("/predict/photos", some)[1]["detail"]


def test_what_probes_and_people_ask(server: Server, photos: Path) -> None:
    assert server.ask("/health") == (200, {"status": "alive"})
    assert server.ask("/ready") == (200, {"status": "ready"})
    image = (photos / "china/00.jpg").read_bytes()
    before = server.ask("/metrics")[1]
    server.ask("/predict/photos", in_base64(image, image))
    after = server.ask("/metrics")[1]
    counted = 'headstart_answers_total{kind="answered",run="photos"}'
    values = [float(text.partition(counted)[2].split()[0]) if counted in text else 0 for text in (before, after)]
    assert values[1] - values[0] == 2
    assert 'headstart_requests_total{path="/predict/{run}",status="200"}' in after
    assert 'headstart_waiting_examples{run="photos"} 0.0' in after


def test_the_description_needs_no_network(server: Server) -> None:
    status, page = server.ask("/docs")
    assert status == 200
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    for asset in ("/static/swagger-ui-bundle.js", "/static/swagger-ui.css", "/static/favicon.png"):
        assert asset in page
    assert server.ask("/static/swagger-ui.css")[0] == 200
    assert set(server.ask("/openapi.json")[1]["paths"]) == {
        "/predict", "/predict/{run}", "/runs", "/health", "/ready", "/metrics"
    }  # fmt: skip


def nested(depth: int) -> bytes:
    return b'{"texts": ' + b"[" * depth + b"]" * depth + b"}"


HOSTILE: dict[str, tuple[int, Callable[[], tuple[bytes | str, str]]]] = {
    "an image that is cut off": (422, lambda: (in_base64(whole()[:300]), JSON)),
    "an empty file": (422, lambda: (form(("empty.jpg", b"")), MULTIPART)),
    "a giant image": (422, lambda: (in_base64(png(60_000, 60_000, zlib.compress(bytes(1000)))), JSON)),
    "a bomb": (422, lambda: (in_base64(png(9_000, 9_000, zlib.compress(bytes(81_009_000), 1))), JSON)),
    "an image above the limit": (422, lambda: (in_base64(png(2_500, 2_500, b"")), JSON)),
    "a comment bomb": (422, lambda: (in_base64(commented()), JSON)),
    "no base64": (422, lambda: ('{"images": ["@@@@"]}', JSON)),
    "no JSON": (422, lambda: (b"\xff\x00{", JSON)),
    "another JSON": (422, lambda: ('{"instances": [1]}', JSON)),
    "too many levels": (422, lambda: (nested(100_000), JSON)),
    "a number without end": (422, lambda: ('{"images": ' + "9" * 1_000_000 + "}", JSON)),
    "half a character": (422, lambda: ('{"images": ["\\ud800"]}', JSON)),
    "no images": (422, lambda: ('{"images": []}', JSON)),
    "too many": (413, lambda: (in_base64(*[b"x"] * 9), JSON)),
    "too many files": (413, lambda: (form(*[("a.jpg", b"x")] * 9), MULTIPART)),
    "too large": (413, lambda: (b" " * 2_000_001, JSON)),
    "a form without its end": (422, lambda: (b"--XX\r\nContent-Disposition: form-data\r\n", MULTIPART)),
    "a form with another boundary": (400, lambda: (b"--YY\r\n\r\n--YY--", MULTIPART)),
    "a form without boundary": (400, lambda: (form(("a.jpg", b"x")), "multipart/form-data")),
    "a form without files": (422, lambda: (b"--XX--\r\n", MULTIPART)),
    "an image as the body": (415, lambda: (whole(), "image/jpeg")),
    "no content type": (415, lambda: (whole(), "")),
}


def whole() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(data, "JPEG")
    return data.getvalue()


def commented() -> bytes:
    """A PNG whose compressed text unfolds to 100 MB."""
    start, end = png(8, 8, zlib.compress(bytes(72))).split(pack(">I", 0) + b"IEND")
    text = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(100_000_000), 1)
    return start + pack(">I", len(text) - 4) + text + pack(">I", zlib.crc32(text)) + pack(">I", 0) + b"IEND" + end


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_are_refused_by_name(server: Server, name: str) -> None:
    expected, made = HOSTILE[name]
    body, kind = made()
    status, content = server.ask("/predict/photos", body, kind)
    assert (status, list(content)) == (expected, ["detail"]), content
    assert server.ask("/predict/photos", in_base64(whole()))[0] == 200


def test_hostile_connections(server: Server) -> None:
    head = b"POST /predict/photos HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    chunk = b"20000\r\n" + b" " * 0x20000 + b"\r\n"
    assert b" 413 " in server.first_line(head + b"Transfer-Encoding: chunked\r\n\r\n" + 16 * chunk + b"0\r\n\r\n")
    assert b" 413 " in server.first_line(head + b"Content-Length: 99999999999999999999\r\n\r\n{")
    assert b" 400 " in server.first_line(head + b"Content-Length: -1\r\n\r\n")
    assert b" 400 " in server.first_line(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    assert b" 400 " in server.first_line(b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000)
    for _ in range(20):  # who goes away in the middle
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + b"Content-Length: 1000\r\n\r\n{")
    assert server.ask("/predict/photos", in_base64(whole()))[0] == 200


def test_schemathesis_finds_nothing(text_run: hs.Run, tmp_path: Path) -> None:
    """Requests made from the description, right and wrong ones; every answer has to be one that is described."""
    server = Server(tmp_path, text_run.folder)
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json",
            "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", "5",
            "--seed", "1", "--generation-database", "none", "--suppress-health-check", "too_slow",
        ],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert server.ask("/predict", json.dumps({"texts": ["some text"]}))[0] == 200
    assert server.end() == 0


@pytest.fixture(scope="module")
def version(run: hs.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run, to be replaced."""
    return Path(shutil.copytree(run.folder, tmp_path_factory.mktemp("versions") / "photos"))


@pytest.fixture
def guarded(version: Path, tmp_path: Path) -> Iterator[Server]:
    """A server that others can reach, with little room and time."""
    limits = ("--queue", 2, "--max-items", 2, "--timeout", 3)
    running = Server(tmp_path, version, "--host", "0.0.0.0", *limits, token="s3cret")
    yield running
    running.process.kill()
    running.process.wait()


def test_token_time_and_room(guarded: Server) -> None:
    body = in_base64(whole())
    assert guarded.ask("/predict", body)[0] == 200
    for wrong in ("Bearer s3cre", "Bearer s3crets", "Basic s3cret", "", "Bearer s\xe9cret"):
        for path, sent in (("/predict", body), ("/runs", None), ("/metrics", None)):
            assert guarded.ask(path, sent, Authorization=wrong)[0] == 401, (path, wrong)
    for path in ("/health", "/ready", "/docs", "/openapi.json"):
        assert guarded.ask(path, Authorization="")[0] == 200

    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    assert b" 408 " in guarded.first_line(head + b"Authorization: Bearer s3cret\r\nContent-Length: 1000\r\n\r\n{")

    answers: list[tuple[int, dict[str, str]]] = []

    def client() -> None:
        headers = {"Content-Type": JSON, "Authorization": "Bearer s3cret"}
        with closing(guarded.connect()) as connection:
            for _ in range(8):
                connection.request("POST", "/predict", body, headers)
                with connection.getresponse() as answer:
                    answer.read()
                    answers.append((answer.status, dict(answer.headers)))

    together(client, 24)
    assert len(answers) == 24 * 8
    assert {200, 503} <= {status for status, _ in answers} <= {200, 503, 408, 504}  # the latter where all is slow
    assert all(headers["retry-after"] == "1" for status, headers in answers if status == 503)


def together(client: Callable[[], None], several: int) -> None:
    threads = [threading.Thread(target=client) for _ in range(several)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_new_version_answers_without_a_request_lost(version: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, version)
    created = server.ask("/runs")[1][0]["created"]
    over, statuses = threading.Event(), []

    def client() -> None:
        with closing(server.connect()) as connection:
            while not over.is_set():
                statuses.append(server.ask("/predict", in_base64(whole()), connection=connection)[0])

    def replace(change: Callable[[Path], None]) -> None:
        newer = Path(shutil.copytree(version, tmp_path / "newer"))
        change(newer)
        shutil.move(version, tmp_path / "older")
        shutil.move(newer, version)
        shutil.rmtree(tmp_path / "older")
        server.process.send_signal(signal.SIGHUP)

    def dated(folder: Path) -> None:
        facts = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**facts, "created": "2030-01-01T00:00:00+00:00"}))

    def wait_for(message: str) -> None:
        deadline = time.monotonic() + 30
        while message not in server.log.read_text():
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.05)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    replace(dated)
    wait_for("the version of 2030-01-01T00:00:00+00:00 is in use now")
    assert server.ask("/runs")[1][0]["created"] != created
    replace(lambda folder: (folder / "golden.npz").write_bytes(b"damaged"))
    wait_for("the new version cannot be opened")
    assert server.ask("/predict", in_base64(whole()))[0] == 200
    over.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    metrics = server.ask("/metrics")[1]
    assert 'headstart_reloads_total{outcome="done",run="photos"} 1.0' in metrics
    assert 'headstart_reloads_total{outcome="failed",run="photos"} 1.0' in metrics
    assert server.end() == 0


def test_it_ends_without_a_request_lost(run: hs.Run, tmp_path: Path) -> None:
    server = Server(tmp_path, run.folder)
    answered, lost = [], []

    def client() -> None:
        with closing(server.connect()) as connection:
            connection.connect()
            connection.auto_open = 0
            ask_on(connection)

    def ask_on(connection: http.client.HTTPConnection) -> None:
        while True:
            try:
                answered.append(server.ask("/predict", in_base64(whole()), connection=connection)[0])
            except http.client.NotConnected:  # the last answer had Connection: close
                return
            except (OSError, http.client.HTTPException) as exc:
                lost.append(exc)
                return

    body = in_base64(whole()).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as half_sent:
        half_sent.sendall(head.encode() + body[:-5])
        began = time.monotonic()
        threads = [threading.Thread(target=client) for _ in range(16)]
        for thread in threads:
            thread.start()
        while len(answered) < 50 or time.monotonic() < began + 1.2:  # uvicorn makes new headers each second
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        half_sent.sendall(body[-5:])
        with half_sent.makefile("rb") as answer:
            late_answer = answer.read().lower()
    assert server.process.wait(30) == 0
    for thread in threads:
        thread.join()
    assert not lost
    assert set(answered) == {200}
    assert late_answer.startswith(b"http/1.1 200")
    assert b"\r\nconnection: close\r\n" in late_answer


def test_wrong_commands_are_refused(run: hs.Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        cases: dict[tuple[str, ...], tuple[type[Exception], str]] = {
            (str(run.folder), "--host", "0.0.0.0"): (
                hs.InputError,
                "other machines can reach 0.0.0.0. Set a token with token or HEADSTART_TOKEN",
            ),
            (str(tmp_path),): (hs.InputError, "is not a run"),
            (str(run.folder), str(run.folder)): (hs.InputError, "two runs have the name"),
            (f"a/b={run.folder}",): (hs.InputError, "part of an address"),
            (str(run.folder), "--port", port): (hs.UnavailableError, f"cannot listen on 127.0.0.1, port {port}"),
            (str(run.folder), "--token", "two words"): (hs.InputError, "without spaces"),
            (str(run.folder), "--queue", "3", "--max-items", "4"): (click.UsageError, "--max-items 4 is more than"),
        }
        for arguments, (kind, message) in cases.items():
            with pytest.raises(kind, match=message):
                cli.main(["serve", *arguments], standalone_mode=False)
