"""What the server answers, and to whom; jobs that outlive it."""

import json
import os
import shutil
import sys
from pathlib import Path
from subprocess import run as run_command
from urllib.parse import quote

import pytest

from tests.conftest import SIZE
from tests.ui.conftest import Server


@pytest.mark.parametrize(
    "path",
    [
        "/picture?path=../secret.jpg",
        "/picture?path=link.jpg",
        "/picture?path=way-out/secret.jpg",
        "/picture?path={above}/secret.jpg",
        "/data?path=..",
        "/data?path=way-out/root/../../data",
        "/data?path=/etc",
        "/new?in=..",
        "/new?in=way-out",
        "/runs/..",
        "/runs/..%2F..%2Froot%2Fruns%2Fphotos/",
        "/runs/photos/download/..%2F..%2F..%2Fsecret.jpg",
        "/runs/photos/download/run.json",
        "/jobs/..%2F..",
        "/picture?path=%00",
    ],
)
def test_nothing_outside_the_root_is_read(server: Server, path: str) -> None:
    answer = server.ask("GET", path.format(above=quote(str(server.root.parent))))
    assert answer.status in (404, 422)
    assert b"\xff\xd8" not in answer.body
    assert "Traceback" not in answer.text


def test_data_that_lead_outside_are_refused(server: Server) -> None:
    secret = server.root.parent / "secret.jpg"
    folder = server.root / "linked"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        shutil.copy(server.root / "photos/china/00.jpg", folder / name)
    (folder / "a" / "there.jpg").symlink_to(secret)
    table = server.root / "table.csv"
    table.write_text(f"path,label\nphotos/china/00.jpg,a\n{secret},b\n")
    for path in ("linked", "table.csv"):
        for answer in (server.ask("GET", f"/data?path={path}"), server.ask("POST", "/data/train", {"path": path})):
            assert answer.status == 422
            assert "lies outside" in answer.text
    # and so does every process that it starts, whoever asks
    checked = f"from headstart.data.images import read_file; from pathlib import Path; read_file(Path({str(secret)!r}))"
    told = run_command(
        [sys.executable, "-c", checked], env={**os.environ, "HEADSTART_ROOT": str(server.root)}, capture_output=True
    )
    assert b"lies outside" in told.stderr


def test_a_run_and_texts_that_lead_outside_are_refused(server: Server) -> None:
    secret = server.root.parent / "secret.jpg"
    run = server.root / "runs" / "linked"
    shutil.copytree(server.root / "runs/photos", run)
    (run / "report.html").unlink()
    (run / "report.html").symlink_to(secret)
    folder = server.root / "essays"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.txt").write_text("some text")
    (folder / "a" / "2.txt").symlink_to(secret)
    for path in ("/runs/linked/download/report.html", "/runs/linked/download/run", "/data?path=essays"):
        answer = server.ask("GET", path)
        assert answer.status == 422
        assert "lies outside" in answer.text
    assert "linked" not in server.ask("GET", "/").text  # and the others are still there
    shutil.rmtree(run)


def test_only_this_machine_and_its_own_pages_are_answered(server: Server) -> None:
    assert server.ask("GET", "/").status == 200
    assert server.ask("GET", "/", headers={"Host": "evil.example:80"}).status == 403
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert server.ask("POST", "/uploads", {"name": "x"}, headers).status == 403
    answer = server.ask("POST", "/uploads", {"name": "x"}, {"Origin": server.address, "Sec-Fetch-Site": "same-origin"})
    assert answer.status == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


def test_bad_input_is_told_and_is_no_crash(server: Server) -> None:
    for path, fields in (
        ("/data/train", {"path": "photos", "base": "file:/etc/passwd"}),
        ("/data/train", {"path": "photos", "input_size": "big"}),
        ("/data/train", {"path": "photos", "name": "../x"}),
        ("/data/check", {"path": "nowhere"}),
        ("/data/remove", {"path": "photos"}),
        ("/data/remove", {"path": ".headstart/uploads"}),
        ("/runs/photos/retrain", {"verdict-0": ""}),
        ("/runs/photos/export", {"nonsense": "1"}),
        ("/jobs/nothing/stop", {}),
        ("/uploads/nothing/finish", {}),
    ):
        answer = server.ask("POST", path, fields)
        assert answer.status == 422, path
        assert answer.text
    assert (server.root / "photos/china/00.jpg").is_file()
    damaged = (server.root / "photos/china/00.jpg").read_bytes()[:200]
    for asked in (b"", b"no picture", damaged):
        assert server.ask("POST", "/runs/photos/answer?name=x", asked).status == 422
    assert server.ask("POST", "/runs/photos/answer", b"some text", {"Content-Type": "text/plain"}).status == 422
    assert not any((server.root / ".headstart/scratch").iterdir())


def test_uploads_are_limited_and_broken_off_ones_removed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    server = Server(tmp_path, "--max-upload-mb", "1", "--host", "0.0.0.0", "--token", "a secret")
    try:
        assert server.ask("GET", "/").status == 401
        assert server.ask("POST", "/uploads", {"name": "x"}).status == 401
        assert server.ask("GET", "/?token=wrong").status == 401
        cookie = {"Cookie": server.ask("GET", "/?token=a%20secret").headers["Set-Cookie"].split(";")[0]}
        assert server.ask("GET", "/", headers=cookie).status == 200
        name = json.loads(server.ask("POST", "/uploads", {"name": "mine"}, cookie).body)["upload"]
        assert server.ask("PUT", f"/uploads/{name}/cat/1.jpg", bytes(900_000), cookie).status == 204
        refused = server.ask("PUT", f"/uploads/{name}/cat/2.jpg", bytes(900_000), cookie)
        assert refused.status == 422
        assert "too large" in refused.text
        assert sum(path.stat().st_size for path in (tmp_path / ".headstart/uploads").rglob("*.jpg")) == 900_000
    finally:
        server.end()
    assert not any((tmp_path / ".headstart/uploads").iterdir())


def test_another_host_needs_a_token(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "headstart", "ui", "--root", str(tmp_path), "--host", "0.0.0.0", "--no-open"]
    told = run_command(command, capture_output=True, text=True, timeout=60)
    assert told.returncode == 2
    assert "--token" in told.stderr


@pytest.mark.slow
def test_a_training_that_is_stopped_goes_on_after_the_server_was_gone(root: Path) -> None:
    server = Server(root)
    try:
        fields = {"path": "photos", "input_size": str(SIZE), "name": "later"}
        job = server.ask("POST", "/data/train", fields).headers["Location"]
        server.follow(job, lambda answer: "Running the base" in answer.text)
        assert server.ask("POST", f"{job}/stop").status == 303
        assert server.ask("GET", f"{job}/progress").headers["X-Status"] == "stopped"
        other = server.ask("POST", "/data/train", fields | {"name": "cut-off"}).headers["Location"]
        server.follow(other, lambda answer: "Running the base" in answer.text)
    finally:
        server.end()
    server = Server(root)
    try:
        for stopped in (job, other):  # one by its button, one with the server
            assert server.ask("GET", f"{stopped}/progress").headers["X-Status"] == "stopped"
        assert "Training of later" in server.ask("GET", "/").text
        server.ask("POST", f"{job}/resume")
        done = server.follow(job, lambda answer: answer.headers["X-Status"] != "running")
        assert done.headers["X-Go-To"] == "/runs/later"
        assert (root / "runs/later/model.keras").is_file()
        server.ask("POST", f"{other}/remove")
        assert "cut-off" not in server.ask("GET", "/").text
    finally:
        server.end()
