"""What the server answers, and to whom; jobs that outlive it."""

import base64
import csv
import http.client
import json
import os
import re
import shutil
import sys
import time
from html import unescape
from pathlib import Path
from subprocess import run as run_command
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from starlette.datastructures import QueryParams

import headstart as hs
from headstart.data.dataset import load_dataset
from headstart.ui.jobs import Jobs
from headstart.ui.labels import spell_label
from headstart.ui.root_folder import RootFolder
from headstart.ui.train_form import train_settings
from tests.conftest import SIZE, WORDS
from tests.ui.conftest import Answer, Server


@pytest.mark.parametrize(
    "path",
    [
        "/thumbnail?path=../secret.jpg",
        "/thumbnail?path=link.jpg",
        "/thumbnail?path=way-out/secret.jpg",
        "/thumbnail?path={above}/secret.jpg",
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
        "/thumbnail?path=%00",
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
            assert "is outside" in answer.text
    # and so does every process that it starts, whoever asks
    checked = f"from headstart.data.examples import FileExample; FileExample(address={str(secret)!r}).read()"
    told = run_command(
        [sys.executable, "-c", checked], env={**os.environ, "HEADSTART_ROOT": str(server.root)}, capture_output=True
    )
    assert b"is outside" in told.stderr


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
        assert "is outside" in answer.text
    assert "linked" not in server.ask("GET", "/").text  # and the others are still there
    shutil.rmtree(run)


def test_only_this_machine_and_its_own_pages_are_answered(server: Server) -> None:
    assert server.ask("GET", "/").status == 200
    for host in ("evil.example:80", "127.0.0.1.evil.example", "[::2]:80", "localhost.evil.example", ""):
        assert server.ask("GET", "/", headers={"Host": host}).status == 400, host
    for host in ("127.0.0.1", "localhost", "LOCALHOST:1234", "[::1]", "[::1]:1234"):
        assert server.ask("GET", "/", headers={"Host": host}).status == 200, host
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
        ("/data/train", {"path": "photos", "group_pattern": "patient"}),
        ("/data/remove", {"path": "photos"}),
        ("/data/remove", {"path": ".headstart/uploads"}),
        ("/runs/photos/retrain", {"verdict-0": ""}),
        ("/runs/photos/export", {"nonsense": "1"}),
    ):
        answer = server.ask("POST", path, fields)
        assert answer.status == 422, path
        assert answer.text
    for path, fields in (
        ("/data/check", {"path": "nowhere"}),
        ("/runs/nothing/export", {"onnx": "1"}),
        ("/jobs/nothing/stop", {}),
        ("/uploads/nothing/finish", {}),
    ):
        answer = server.ask("POST", path, fields)
        assert answer.status == 404, path
        assert answer.text
    assert (server.root / "photos/china/00.jpg").is_file()
    damaged = (server.root / "photos/china/00.jpg").read_bytes()[:200]
    for asked in (b"", b"no picture", damaged):
        assert server.ask("POST", "/runs/photos/answer?name=x", asked).status == 422
    assert server.ask("POST", "/runs/photos/answer", b"some text", {"Content-Type": "text/plain"}).status == 422
    assert not any((server.root / ".headstart/scratch").iterdir())


def test_damaged_files_of_jobs_and_runs_stop_no_page(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "runs", tmp_path / "runs")
    shutil.copytree(tmp_path / "runs" / "photos", tmp_path / "runs" / "other")
    (tmp_path / "runs" / "other" / "run.json").write_bytes(b"")
    jobs = RootFolder(tmp_path).jobs
    good = {"kind": "train", "data": "photos", "arguments": {}, "title": "a training"}
    events = '{"t": 1, "began": true}\n{"t": 2, "sta\n'
    for name, files in {
        "1": {"job.json": ""},
        "2": {"job.json": json.dumps(good)[:-9]},
        "3": {"job.json": "[1]"},
        "4": {
            "job.json": json.dumps(good),
            "outcome.json": "",
            "events.jsonl": events,
        },
        "5": {"job.json": json.dumps(good), "pid": ""},
    }.items():
        (jobs / name).mkdir()
        for file, content in files.items():
            (jobs / name / file).write_text(content)
    server = Server(tmp_path)
    try:
        for address in ("/", "/runs/photos", "/new", "/jobs/4", "/jobs/5"):
            assert server.ask("GET", address).status == 200, address
        assert "a training" in server.ask("GET", "/").text
        assert server.ask("GET", "/jobs/1").status == 404
    finally:
        server.end()
    assert sorted(path.parent.name for path in jobs.glob("*/job.damaged")) == ["1", "2", "3"]
    assert (jobs / "4" / "outcome.damaged").exists()


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


def _runs_the_base(answer: Answer) -> bool:
    return re.search('class="now">.*Computing features', answer.text) is not None


@pytest.mark.slow
def test_a_training_that_is_stopped_goes_on_after_the_server_was_gone(root: Path) -> None:
    server = Server(root)
    try:
        fields = {"path": "photos", "input_size": str(SIZE), "name": "later"}
        job = server.ask("POST", "/data/train", fields).headers["Location"]
        server.follow(job, _runs_the_base)
        assert server.ask("POST", f"{job}/stop").status == 303
        assert server.ask("GET", f"{job}/progress").headers["X-Status"] == "stopped"
        other = server.ask("POST", "/data/train", fields | {"name": "cut-off"}).headers["Location"]
        server.follow(other, _runs_the_base)
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


def _rows(path: Path, rows: list[tuple[str, ...]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def test_images_in_the_rows_of_a_table_are_shown(server: Server) -> None:
    rows = []
    for i, path in enumerate(sorted((server.root / "photos/china").glob("*.jpg"))[:4]):
        rows.append({"image": base64.b64encode(path.read_bytes()).decode(), "label": "ab"[i % 2]})
    (server.root / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    page = server.ask("GET", "/data?path=rows.jsonl")
    assert page.status == 200
    addresses = re.findall(r'src="(/thumbnail[^"]+%23row%3D\d+)"', page.text)
    assert len(addresses) == 4
    assert {server.ask("GET", address).headers["Content-Type"] for address in addresses} == {"image/jpeg"}
    (server.root / "rows.jsonl").unlink()
    assert server.ask("GET", addresses[0]).status == 404
    assert server.ask("GET", "/thumbnail?path=/etc/x.parquet%23row%3D1").status == 422


def test_a_table_says_what_its_columns_are_taken_for(server: Server) -> None:
    _rows(server.root / "news.csv", [("title", "body", "topic"), *[(f"t{i}", f"b{i}", "ab"[i % 2]) for i in range(6)]])
    unknown = server.ask("GET", "/data?path=news.csv")
    assert unknown.status == 422
    assert "Cannot tell which column of news.csv is the label" in unknown.text  # neither the whole path, nor an option
    assert "--label" not in unknown.text
    told = {"path": "news.csv", "role-title": "text", "role-body": "text", "role-topic": "label", "label_separator": ""}
    read = server.ask("GET", f"/data?{urlencode(told)}")
    assert read.status == 303
    address = read.headers["Location"]
    assert parse_qs(urlsplit(address).query) == {
        "path": ["news.csv"], "text_column": ["title", "body"], "label_column": ["topic"]
    }  # fmt: skip
    answer = server.ask("GET", address)
    assert "6 texts in 2 classes" in answer.text
    assert "t0 b0" in answer.text
    assert answer.text.count('name="text_column"') == 4  # both, in the form that checks and in the one that trains


@pytest.mark.parametrize(
    "table",
    [
        [("text", "tags"), *[(f"text {i}", ("a", "b", "a;b", "b;c", "a;c", "")[i]) for i in range(6)]],
        [("text", "a", "b", "c"), *[(f"text {i}", *(("0", "1")[i >> bit & 1] for bit in range(3))) for i in range(8)]],
    ],
    ids=["cells", "columns"],
)
def test_several_labels_are_seen_and_offered(server: Server, table: list[tuple[str, ...]]) -> None:
    _rows(server.root / "several.csv", table)
    answer = server.ask("GET", "/data?path=several.csv")
    (address,) = re.findall(r'class="advice">[^<]*<a href="([^"]+)"', answer.text)
    answer = server.ask("GET", unescape(address))
    assert f"{len(table) - 1} texts with any of 3 labels" in answer.text
    assert "advice" not in answer.text.partition("</style>")[2]


def test_more_options_become_a_recipe(server: Server) -> None:
    three = load_dataset(str(_three(server.root)))
    fields = [("classes", "of these"), ("class", "a"), ("class", "c"), ("dense", "64, 32"), ("min_precision", "0.9")]
    assert train_settings(QueryParams(fields), three) == {
        "fine_tune": "none", "dense": (64, 32), "classes": ["a", "c"], "min_precision": 0.9
    }  # fmt: skip
    assert train_settings(QueryParams("search=5&fine_tune=auto&base=auto"), three) == {
        "fine_tune": "auto", "search": 5, "base": "auto"
    }  # fmt: skip
    for wrong, message in (
        ("dense=wide", "“Hidden layers”: expected sizes"),
        ("dense=0", "“Hidden layers”: expected sizes"),
        ("dense=8&search=5", "“Heads to try”: the search chooses the head itself: leave out .*“Hidden layers”"),
        ("search=many", "“Heads to try”: expected a whole number of at least 1, got 'many'"),
        ("min_precision=100", "“Precision of sure answers”: expected a number above 0 and below 1"),
        ("classes=1&class=a", "tick more"),
        ("classes=1&class=a&class=x", "unknown class 'x'"),
    ):
        with pytest.raises(hs.InputError) as caught:
            train_settings(QueryParams(wrong), three)
        assert re.search(message, caught.value.render(spell_label))


def _three(root: Path) -> Path:
    for name in "abc":
        (root / "three" / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "photos/china/00.jpg", root / "three" / name)
    return root / "three"


def test_what_is_done_is_tidied_away_and_what_waits_for_its_user_is_not(tmp_path: Path) -> None:
    root_folder = RootFolder(tmp_path)
    (root_folder.runs / "kept").mkdir(parents=True)
    outcomes: dict[str, tuple[str, dict | None, float]] = {
        "1-kept": ("train", {"run": "kept"}, 0),
        "2-gone": ("train", {"run": "gone"}, time.time()),
        "3-failed": ("train", {"error": "no"}, 0),
        "4-stopped": ("train", None, 0),
        "5-exported": ("export", {"run": "kept"}, time.time()),
        "6-checked": ("audit", {"found": []}, time.time()),
        "7-checked": ("audit", {"found": []}, 0),
    }
    for name, (kind, outcome, ended) in outcomes.items():
        (root_folder.jobs / name).mkdir()
        (root_folder.jobs / name / "job.json").write_text(
            json.dumps({"kind": kind, "data": "photos", "arguments": {}, "title": name})
        )
        (root_folder.jobs / name / "events.jsonl").write_text(json.dumps({"t": ended, "ended": True}) + "\n")
        if outcome is not None:
            (root_folder.jobs / name / "outcome.json").write_text(json.dumps(outcome))
    jobs = Jobs(root_folder)
    jobs.clean()
    assert [job.id for job in jobs.all()] == ["6-checked", "4-stopped", "3-failed", "1-kept"]
    checked, told = jobs.last("audit", data="photos"), jobs.last("train", run="kept")
    assert (checked and checked.id, told and told.id) == ("6-checked", "1-kept")


@pytest.mark.slow
def test_programs_can_ask_a_run_that_is_served(server: Server) -> None:
    shutil.copytree(server.root / "runs/photos", server.root / "runs/served = once")
    page = "/runs/" + quote("served = once")
    assert server.ask("POST", f"{page}/serve").status == 303
    (address,) = set(re.findall(r"http://127\.0\.0\.1:\d+", server.ask("GET", f"{page}/export").text))
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    picture = base64.b64encode((server.root / "photos/china/07.jpg").read_bytes()).decode()
    connection.request("POST", "/predict", json.dumps({"images": [picture]}), {"Content-Type": "application/json"})
    (answer,) = json.loads(connection.getresponse().read())["answers"]
    connection.close()
    assert (
        answer["predicted"]
        == hs.load(server.root / "runs/photos").predict(server.root / "photos/china/07.jpg").predicted
    )
    assert server.ask("POST", f"{page}/serve").status == 303  # is there already
    assert address in server.ask("GET", f"{page}/export").text
    assert server.ask("POST", f"{page}/serve/stop").status == 303
    assert "Start a server" in server.ask("GET", f"{page}/export").text
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(address.removeprefix("http://")).request("GET", "/health")
    (server.root / "runs/served = once/golden.npz").unlink()
    refused = server.ask("POST", f"{page}/serve")
    assert refused.status == 422
    assert "server of served = once did not start: error: runs/served = once/golden.npz is missing" in refused.text
    shutil.rmtree(server.root / "runs/served = once")


def test_a_run_can_be_removed_and_nothing_else(server: Server) -> None:
    runs = server.root / "runs"
    shutil.copytree(runs / "photos", runs / "old")
    shutil.copytree(runs / "photos", server.root / "elsewhere")
    (runs / "there").symlink_to(server.root / "elsewhere")
    assert server.ask("POST", "/runs/old/remove").status == 303
    assert not (runs / "old").exists()
    for name in ("there", "old", "..", "..%2Fphotos"):
        assert server.ask("POST", f"/runs/{name}/remove").status in (404, 422)
    assert (server.root / "elsewhere/run.json").is_file()
    assert (server.root / "photos").is_dir()
    (runs / "there").unlink()


@pytest.mark.slow
def test_a_run_with_several_labels_is_trained_looked_at_and_asked(server: Server, sentences: Path) -> None:
    with open(sentences, newline="", encoding="utf-8") as file:
        given = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    rows = [(text, int(label == "python"), int(any(map(str.isdigit, text)))) for text, label in given]
    _rows(server.root / "labels.csv", [("text", "python", "number"), *rows, ("", 1, 0)])
    fields = {"path": "labels.csv", "base": WORDS}
    columns = urlencode([("label_column", "python"), ("label_column", "number")])
    job = server.ask("POST", "/data/train", f"{urlencode(fields)}&{columns}".encode()).headers["Location"]
    done = server.follow(job, lambda answer: answer.headers["X-Status"] != "running", within_s=240)
    assert done.headers["X-Go-To"] == "/runs/labels"
    page = server.ask("GET", "/runs/labels").text
    assert "micro F1" in page
    assert "Label by label" in page
    assert re.search("Log of the training: .*1 warning.*1 file left out", page, re.DOTALL)
    answer = server.ask("POST", "/runs/labels/answer", given[0][0].encode(), {"Content-Type": "text/plain"})
    assert answer.status == 200
    for name in ("python", "number"):
        assert f"<bdi>{name}</bdi></th>" in answer.text
    assert "F1" in server.ask("GET", "/").text

    # Labels that are ticked are right: of the first that is in doubt they are changed, and the second is left out
    with open(server.root / "runs/labels/suspects.csv", newline="", encoding="utf-8") as file:
        first, second, *rest = csv.DictReader(file)
    assert page.count('value="ticked"') == min(2 + len(rest), 24)
    has = first["label"].split(";")
    ticked = [("other-0", name) for name in ("python", "number") if (name in has) == (name == "python")]
    fields = [("verdict-0", "ticked"), *ticked, ("verdict-1", "ticked"), ("verdict-1", "drop")]
    job = server.ask("POST", "/runs/labels/retrain", urlencode(fields).encode()).headers["Location"]
    server.follow(job, lambda answer: answer.headers["X-Go-To"] == "/runs/labels-2")
    again = server.root / "runs/labels-2"
    with open(again / "predictions.csv", newline="", encoding="utf-8") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(file)}
    assert labels[first["file"]] == ";".join(name for _, name in ticked)
    assert second["file"] not in labels
    assert hs.load(again).facts.data.corrections.replace(table="").to_json() == {
        "table": "",
        "changed": 1,
        "left_out": 1,
    }
