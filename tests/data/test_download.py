"""Downloads from real HTTP servers on this machine, well-behaved and not."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from konvoi.data.download import download, fetch
from konvoi.data.known import KnownDataset, KnownFile
from konvoi.errors import DataError

CONTENT = np.random.default_rng(7).integers(0, 40, 300_000, dtype=np.uint8).tobytes()
PACKED = gzip.compress(CONTENT, compresslevel=6, mtime=0)
PACKED_OTHERWISE = gzip.compress(CONTENT, compresslevel=1, mtime=0)
FILE = KnownFile("numbers-idx1-ubyte", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
HALF = len(PACKED) // 2

Answer = Callable[[BaseHTTPRequestHandler, int | None], None]
"""Answers one request; the number is where a Range request starts, None without one."""


class Mirror:
    """A server that answers as told, and keeps where each request wanted to start (None: no Range)."""

    def __init__(self, answer: Answer) -> None:
        self.starts: list[int | None] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                start = int(asked[1]) if asked else None
                mirror.starts.append(start)
                answer(self, start)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def send(
    request: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    content_range: str | None = None,
    length: int | None = None,
) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(body) if length is None else length))
    if content_range is not None:
        request.send_header("Content-Range", content_range)
    request.end_headers()
    request.wfile.write(body)


def with_ranges(content: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler, start: int | None) -> None:
        if start is None:
            send(request, 200, content)
        elif start >= len(content):
            send(request, 416, b"", f"bytes */{len(content)}")
        else:
            send(request, 206, content[start:], f"bytes {start}-{len(content) - 1}/{len(content)}")

    return answer


def without_ranges(content: bytes) -> Answer:
    return lambda request, _: send(request, 200, content)


def cut_half_way_then_resumed(request: BaseHTTPRequestHandler, start: int | None) -> None:
    if start is None:
        send(request, 200, PACKED[:HALF], length=len(PACKED))
    else:
        with_ranges(PACKED)(request, start)


def always_cut(request: BaseHTTPRequestHandler, start: int | None) -> None:
    begin = start or 0
    piece = PACKED[begin : begin + 1000]
    content_range = None if start is None else f"bytes {begin}-{len(PACKED) - 1}/{len(PACKED)}"
    send(request, 200 if start is None else 206, piece, content_range, length=len(PACKED) - begin)


def not_found(request: BaseHTTPRequestHandler, _: int | None) -> None:
    send(request, 404, b"gone")


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], Mirror]]:
    """Starts servers, and stops them after the test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    started: list[Mirror] = []

    def start(answer: Answer) -> Mirror:
        started.append(Mirror(answer))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def published(*mirrors: Mirror) -> KnownDataset:
    return KnownDataset("numbers", ("0",), (FILE,), tuple(server.address for server in mirrors))


def content_of(folder: Path) -> bytes:
    return gzip.decompress((folder / "numbers-idx1-ubyte.gz").read_bytes())


Start = Callable[[Answer], Mirror]


def test_a_file_is_fetched_and_progress_told(tmp_path: Path, mirror: Start) -> None:
    told: list[tuple[str, int, int | None]] = []
    folder = fetch(published(mirror(with_ranges(PACKED))), tmp_path / "new", lambda *step: told.append(step))

    assert folder == tmp_path / "new"
    assert content_of(folder) == CONTENT
    assert not list(folder.glob("*.part"))
    assert told[-1] == ("numbers-idx1-ubyte.gz", len(PACKED), len(PACKED))
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path, mirror: Start) -> None:
    """Under any of its names, compressed or not."""
    server = mirror(with_ranges(PACKED))
    (tmp_path / "numbers.idx1-ubyte").write_bytes(CONTENT)
    fetch(published(server), tmp_path)
    assert server.starts == []
    assert not (tmp_path / "numbers-idx1-ubyte.gz").exists()


def test_a_complete_read_only_folder_is_enough(tmp_path: Path, mirror: Start) -> None:
    (tmp_path / "numbers-idx1-ubyte.gz").write_bytes(PACKED)
    tmp_path.chmod(0o555)
    try:
        fetch(published(mirror(not_found)), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["numbers-idx1-ubyte.gz"]
    finally:
        tmp_path.chmod(0o755)


def test_a_damaged_file_is_fetched_again_kept_aside_and_said(
    tmp_path: Path, mirror: Start, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "numbers-idx1-ubyte.gz").write_bytes(PACKED[:HALF])
    fetch(published(mirror(with_ranges(PACKED))), tmp_path)
    assert content_of(tmp_path) == CONTENT
    assert (tmp_path / "numbers-idx1-ubyte.gz.replaced").read_bytes() == PACKED[:HALF]
    assert "the gzip compression is damaged. It was fetched again" in caplog.text


def test_a_connection_cut_half_way_is_continued(tmp_path: Path, mirror: Start) -> None:
    server = mirror(cut_half_way_then_resumed)
    fetch(published(server), tmp_path)
    assert content_of(tmp_path) == CONTENT
    assert server.starts == [None, HALF]


def test_a_part_from_an_earlier_call_is_continued(tmp_path: Path, mirror: Start) -> None:
    (tmp_path / "numbers-idx1-ubyte.gz.part").write_bytes(PACKED[:1234])
    server = mirror(with_ranges(PACKED))
    fetch(published(server), tmp_path)
    assert content_of(tmp_path) == CONTENT
    assert server.starts == [1234]


def test_a_server_without_ranges_sends_all_again(tmp_path: Path, mirror: Start) -> None:
    (tmp_path / "numbers-idx1-ubyte.gz.part").write_bytes(PACKED[:1234])
    server = mirror(without_ranges(PACKED))
    fetch(published(server), tmp_path)
    assert content_of(tmp_path) == CONTENT
    assert server.starts == [1234]


def test_a_complete_part_is_used_when_the_server_has_no_more(tmp_path: Path, mirror: Start) -> None:
    (tmp_path / "numbers-idx1-ubyte.gz.part").write_bytes(PACKED)
    server = mirror(with_ranges(PACKED))
    fetch(published(server), tmp_path)
    assert content_of(tmp_path) == CONTENT
    assert server.starts == [len(PACKED)]


def test_a_part_longer_than_the_file_is_thrown_away(tmp_path: Path, mirror: Start) -> None:
    (tmp_path / "numbers-idx1-ubyte.gz.part").write_bytes(b"x" * (len(PACKED) + 5))
    server = mirror(with_ranges(PACKED))
    fetch(published(server), tmp_path)
    assert content_of(tmp_path) == CONTENT
    assert server.starts == [len(PACKED) + 5, None]


def test_a_part_from_a_mirror_that_compressed_otherwise_is_fetched_whole(tmp_path: Path, mirror: Start) -> None:
    (tmp_path / "numbers-idx1-ubyte.gz.part").write_bytes(PACKED_OTHERWISE[:5000])
    server = mirror(with_ranges(PACKED))
    fetch(published(server), tmp_path)
    assert content_of(tmp_path) == CONTENT
    assert server.starts == [5000, None]


def test_an_answer_that_continues_elsewhere_is_not_appended(tmp_path: Path, mirror: Start) -> None:
    (tmp_path / "numbers-idx1-ubyte.gz.part").write_bytes(PACKED[:1234])
    wrong = mirror(lambda request, _: send(request, 206, PACKED[99:], f"bytes 99-{len(PACKED) - 1}/{len(PACKED)}"))
    with pytest.raises(DataError, match="asked to continue at byte 1234, it answered bytes 99-"):
        fetch(published(wrong), tmp_path)
    assert not (tmp_path / "numbers-idx1-ubyte.gz.part").exists()


def test_content_compressed_otherwise_is_the_same_content(tmp_path: Path, mirror: Start) -> None:
    assert PACKED != PACKED_OTHERWISE
    fetch(published(mirror(with_ranges(PACKED_OTHERWISE))), tmp_path)
    assert content_of(tmp_path) == CONTENT


def test_the_next_mirror_continues_what_the_first_began(tmp_path: Path, mirror: Start) -> None:
    first, second = mirror(always_cut), mirror(with_ranges(PACKED))
    fetch(published(first, second), tmp_path)
    assert content_of(tmp_path) == CONTENT
    assert first.starts == [None, 1000, 2000]
    assert second.starts == [3000]


CHANGED = gzip.compress(CONTENT[:-1] + b"\xff")


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (CHANGED, "the content's checksum is not the published one"),
        (gzip.compress(CONTENT + b"\0"), "more than 300,000 bytes of content instead of 300,000"),
        (b"<html>please log in</html>", "26 bytes of content instead of 300,000"),
        (PACKED[:-1], "the gzip compression is damaged"),
        (bytes(2_000_000), "sends more than the 300,000 bytes"),
    ],
    ids=["changed", "longer", "web page", "truncated", "endless"],
)
def test_damaged_content_is_never_put_in_place(tmp_path: Path, mirror: Start, served: bytes, reason: str) -> None:
    bad, good = mirror(with_ranges(served)), mirror(with_ranges(PACKED))
    with pytest.raises(DataError, match=reason):
        fetch(published(bad), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".download.lock"]

    fetch(published(bad, good), tmp_path)
    assert content_of(tmp_path) == CONTENT


def test_when_no_mirror_works_each_is_named_with_its_reason(tmp_path: Path, mirror: Start) -> None:
    missing, cut, damaged = mirror(not_found), mirror(always_cut), mirror(with_ranges(CHANGED))
    stopped = mirror(not_found)
    stopped.stop()
    with pytest.raises(DataError) as caught:
        fetch(published(missing, stopped, cut), tmp_path)
    message = str(caught.value)
    assert f"{missing.address}numbers-idx1-ubyte.gz: HTTP 404 Not Found" in message
    assert f"{stopped.address}numbers-idx1-ubyte.gz: Connection refused" in message
    assert f"connection lost after 3,000 of {len(PACKED):,} bytes" in message
    for way in ("1. try again later", "2. put the 1 files (numbers-idx1-ubyte.gz)", "3. copy the 1 files into"):
        assert way in message
    assert (tmp_path / "numbers-idx1-ubyte.gz.part").read_bytes() == PACKED[:3000]

    with pytest.raises(DataError, match="checksum"):
        fetch(published(damaged), tmp_path)
    assert not (tmp_path / "numbers-idx1-ubyte.gz.part").exists()


def test_a_silent_mirror_is_given_up(tmp_path: Path, mirror: Start) -> None:
    released = threading.Event()
    silent = mirror(lambda request, start: (released.wait(20), None)[1])
    try:
        with pytest.raises(DataError, match="no answer in time"):
            fetch(published(silent), tmp_path, timeout_seconds=0.2)
    finally:
        released.set()


def test_a_full_disk_is_said_before_anything_is_written(
    tmp_path: Path, mirror: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"0.0 MB are free, and the download needs"):
        fetch(published(mirror(with_ranges(PACKED))), tmp_path)
    assert not (tmp_path / "numbers-idx1-ubyte.gz.part").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, mirror: Start) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        fetch(published(mirror(with_ranges(PACKED))), tmp_path / "file" / "inside")


def test_two_that_fetch_at_once_do_not_disturb_each_other(tmp_path: Path, mirror: Start) -> None:
    server = mirror(with_ranges(PACKED))
    callers = [threading.Thread(target=fetch, args=(published(server), tmp_path)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert content_of(tmp_path) == CONTENT
    assert server.starts == [None]


def test_an_unknown_name_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(DataError, match=r"'imagenet' is not.*mnist, fashion-mnist"):
        download("imagenet")


def test_the_published_checksums_are_those_of_the_real_mnist(shared_data: Path, tmp_path: Path) -> None:
    """With every file in place nothing is fetched, so this needs no network."""
    assert download("mnist", shared_data / "mnist") == shared_data / "mnist"
