"""Fetching weights from a server of the test's own."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from konvoi.data.weight_files import weight_file
from konvoi.errors import DataError

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "resnet.pth").write_bytes(CONTENT)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/resnet.pth"
        running.shutdown()


def test_a_file_is_fetched_once_and_then_used(server: str, tmp_path: Path) -> None:
    path = weight_file(server, DIGEST[:8], tmp_path / "cache")
    assert path == tmp_path / "cache" / "resnet.pth"
    assert path.read_bytes() == CONTENT
    (tmp_path / "served" / "resnet.pth").unlink()
    assert weight_file(server, DIGEST, tmp_path / "cache") == path


def test_other_content_is_not_kept(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be fetched: invalid hash value"):
        weight_file(server, "00000000", tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_damaged_file_in_the_cache_is_named(server: str, tmp_path: Path) -> None:
    (tmp_path / "resnet.pth").write_bytes(b"half")
    with pytest.raises(DataError, match="Remove it, and it is fetched again"):
        weight_file(server, DIGEST[:8], tmp_path)


def test_without_a_network_it_says_where_to_put_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"put the file by hand at {tmp_path / 'x.pth'}"):
        weight_file("http://127.0.0.1:9/x.pth", "00", tmp_path)
