"""``headstart serve`` under load, beside a plain FastAPI endpoint that calls Keras's ``model.predict``.

    python benchmarks/serving.py runs/photos photos/      # a run on pictures, and pictures to send

As many clients as ``--clients`` keep one connection each, send a picture as soon as they have the answer about the one
before, and time each from its first byte to the last of the answer. Both servers get the same bytes, one after the
other, on the machine that the clients use as well. Prints a Markdown table.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from headstart.data.modalities import IMAGE
from measure import headstart_command, machine, markdown

_HERE = Path(__file__).parent
_BOUNDARY = "headstart-benchmark"
_PICTURES = 500
_START_S = 120
_WARM_UP_S = 3.0


@dataclass
class Load:
    """What came of a load.

    Attributes:
        seconds: each answered request took.
        statuses: how many answers had which status; ``failed`` where a connection broke.
        lasted_s: from the first request to the last answer.
        cpu_s: processor time of the server meanwhile.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    lasted_s: float = 0.0
    cpu_s: float = 0.0

    def cells(self) -> list[str]:
        """As in the table."""
        errors = self.statuses.total() - self.statuses["200"]
        marks = np.percentile(self.seconds, [50, 90, 99]) * 1000 if self.seconds else [np.nan] * 3
        cpu_ms = 1000 * self.cpu_s / max(1, self.statuses["200"])
        told = [f"{self.rate:,.1f}", *(f"{mark:,.0f}" for mark in marks), f"{cpu_ms:,.1f}"]
        return [*told, f"{self.statuses['200']:,}", f"{errors:,}"]

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.statuses["200"] / self.lasted_s


def request(picture: Path) -> bytes:
    """A whole HTTP request that uploads a picture."""
    body = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{picture.name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode() + picture.read_bytes()
    body += f"\r\n--{_BOUNDARY}--\r\n".encode()
    head = (
        "POST /predict HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: multipart/form-data; boundary={_BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Send requests for so many seconds, and wait for the last answers."""
    result, start = Load(), time.perf_counter()

    async def client(number: int) -> None:
        order = random.Random(number)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (sent := time.perf_counter()) < start + seconds:
            try:
                writer.write(order.choice(requests))
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
                await reader.readexactly(int(fields[b"content-length"]))
            except (OSError, asyncio.IncompleteReadError):
                result.statuses["failed"] += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            result.statuses[head.split(b" ", 2)[1].decode()] += 1
            result.seconds.append(time.perf_counter() - sent)
        writer.close()

    await asyncio.gather(*map(client, range(clients)))
    result.lasted_s = time.perf_counter() - start
    return result


@contextmanager
def served(command: Sequence[object], port: int, env: dict[str, str], log: Path) -> Iterator[int]:
    """A server while it is needed; gives its process id."""
    with open(log, "wb") as out:
        process = subprocess.Popen(list(map(str, command)), env={**os.environ, **env}, stdout=out, stderr=out)
    try:
        _wait_for(port, process, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"the server did not start:\n{log.read_text()[-3000:]}")


def _cpu_s(pid: int) -> float:
    """User and system time of a process so far; Linux only."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run on pictures")
    parser.add_argument("pictures", type=Path, help="a folder of pictures to send")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60, help="of load on each server")
    arguments = parser.parse_args()
    pictures = [Path(example.name) for example in IMAGE.list_examples([arguments.pictures])]
    requests = [request(path) for path in random.Random(0).sample(pictures, min(_PICTURES, len(pictures)))]
    port = _free_port()
    plain = [sys.executable, "-m", "uvicorn", "--app-dir", _HERE, "plain_endpoint:app", "--port", port]
    ways = {
        "FastAPI and `model.predict`": ([*plain, "--log-level", "warning"], {"RUN": str(arguments.run)}),
        "headstart serve": ([headstart_command(), "serve", arguments.run, "--port", port], {}),
    }
    loads = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, (command, env) in ways.items():
            with served(command, port, {"KERAS_BACKEND": "tensorflow", **env}, Path(scratch, "log")) as pid:
                asyncio.run(load(port, requests, arguments.clients, _WARM_UP_S))
                before_s = _cpu_s(pid)
                loads[name] = asyncio.run(load(port, requests, arguments.clients, arguments.seconds))
                loads[name].cpu_s = _cpu_s(pid) - before_s
    facts = json.loads((arguments.run / "run.json").read_text(encoding="utf-8"))
    size = " x ".join(map(str, facts["base"]["input_size"]))
    kilobytes = sum(map(len, requests)) / len(requests) / 1000
    first = next(iter(loads.values())).rate
    print(f"{machine()}\n\n{facts['base']['handle']} at {size} px in {facts['engine']['precision']}, ", end="")
    print(f"{arguments.clients} clients, {arguments.seconds:g} s, requests of {kilobytes:.0f} kB on average.\n")
    header = ["", "requests/s", "p50 ms", "p90 ms", "p99 ms", "CPU ms each", "answers", "errors", "times"]
    print(markdown(header, [[name, *one.cells(), f"{one.rate / first:.1f}"] for name, one in loads.items()]))


if __name__ == "__main__":
    main()
