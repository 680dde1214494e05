"""Requests as clients and proxies really send them, to the application without a server."""

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import headstart as hs
from headstart.cli.main import cli
from headstart.serving.app import create_app
from headstart.serving.limits import Limits
from headstart.serving.runs import open_run


@pytest.fixture(scope="module")
def client(run: hs.Run) -> Iterator[TestClient]:
    with TestClient(create_app({"photos": open_run(run.folder)}, Limits(), root_path="/vision")) as opened:
        yield opened


@pytest.mark.parametrize(
    "write",
    [
        lambda data: base64.b64encode(data).decode(),
        lambda data: base64.encodebytes(data).decode(),
        lambda data: base64.encodebytes(data).decode().replace("\n", "\r\n"),
        lambda data: "data:image/jpeg;base64,\n" + base64.encodebytes(data).decode(),
        lambda data: base64.urlsafe_b64encode(data).decode(),
        lambda data: base64.b64encode(data).decode().rstrip("="),
    ],
    ids=["plain", "line breaks", "Windows line breaks", "data address", "alphabet of URLs", "without padding"],
)
def test_base64_in_all_its_forms(client: TestClient, photos: Path, write: Callable[[bytes], str]) -> None:
    data = (photos / "china/00.jpg").read_bytes()
    answer = client.post("/predict", json={"images": [write(data)]})
    assert answer.status_code == 200
    assert answer.json()["answers"][0]["predicted"] == "china"


@pytest.mark.parametrize("text", ["####", "A", "né"])
def test_what_is_no_base64_is_refused(client: TestClient, text: str) -> None:
    answer = client.post("/predict", json={"images": [text]})
    assert answer.status_code == 422
    assert "images[0] is not base64" in answer.json()["detail"]


def test_an_empty_image_is_named(client: TestClient) -> None:
    assert "images[0]: empty: 0 bytes" in client.post("/predict", json={"images": [""]}).json()["detail"]


@pytest.mark.parametrize("sent", ["", "/vision"], ids=["the proxy removes its prefix", "it leaves it"])
def test_docs_behind_a_proxy(client: TestClient, sent: str) -> None:
    page = client.get(f"{sent}/docs").text
    addresses = re.findall(r"""(?:src|href|url)["']?\s*[=:]\s*["'](/[^"']+)["']""", page)
    assert addresses
    for address in addresses:
        assert address.startswith("/vision/")
        assert client.get(sent + address.removeprefix("/vision")).status_code == 200
    assert client.get(f"{sent}/openapi.json").json()["servers"] == [{"url": "/vision"}]
    assert client.get(f"{sent}/health").status_code == 200


@pytest.mark.parametrize("sent", ["", "/vision"])
def test_a_token_guards_behind_a_proxy(run: hs.Run, sent: str) -> None:
    app = create_app({"photos": open_run(run.folder)}, Limits(), "secret", "/vision")
    with TestClient(app) as client:
        assert client.get(f"{sent}/health").status_code == 200
        assert client.get(f"{sent}/runs").status_code == 401
        assert client.get(f"{sent}/runs", headers={"Authorization": "Bearer secret"}).status_code == 200


@pytest.mark.parametrize("prefix", ["vision", "/vision/", "/", "/a b", "/a\n"])
def test_wrong_prefixes_are_refused(run: hs.Run, prefix: str) -> None:
    with pytest.raises(hs.InputError, match=r"root_path: expected a path such as /vision"):
        cli.main(["serve", str(run.folder), "--root-path", prefix, "--port", "0"], standalone_mode=False)
