"""Weights are downloaded once, resumed, checked, and never half there; from a local server."""

import hashlib
import http.server
import multiprocessing
import threading

import pytest

from vipl.errors import UserError
from vipl.models.zoo.download import fetch, local_file

CONTENT = bytes(range(256)) * 20_000
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`, cut off after `cut` bytes; remembers what was asked for."""

    content = CONTENT
    cut = None
    ranges = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/model.pt"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked[6:-1]) if asked and server.ranges else 0
        if start >= len(server.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        self.wfile.write(server.content[start : server.cut])

    def log_message(self, *unused):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("VIPL_HOME", str(tmp_path / "home"))
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def get(server, *, hash=None, size_bytes=None):
    return fetch("some", server.url, hash=hash, size_bytes=size_bytes)


def test_once(server, tmp_path):
    path = get(server, hash=SHA256, size_bytes=len(CONTENT))
    assert path == tmp_path / "home" / "weights" / "some" / "model.pt"
    assert path.read_bytes() == CONTENT
    assert get(server, hash=SHA256[:20]) == path
    assert server.asked == [None]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_cut_off_goes_on(server, ranges):
    server.cut, server.ranges = 1_500_000, ranges
    with pytest.raises(UserError, match="cut off after 1500000 of 5120000 bytes"):
        get(server, hash=SHA256)
    assert not local_file("some", server.url).exists()
    server.cut = None
    assert get(server, hash=SHA256).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1500000-"]


def test_another_file_is_refused_and_not_kept(server):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(UserError, match=r"its sha256 is .* expected"):
        get(server, hash=SHA256)
    server.content = CONTENT[:-5]
    with pytest.raises(UserError, match="5119995 bytes, expected 5120000"):
        get(server, size_bytes=len(CONTENT))
    server.content = CONTENT
    assert get(server, hash=SHA256).read_bytes() == CONTENT


def test_without_a_known_hash_the_first_use_counts(server):
    path = get(server)
    assert get(server) == path
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(UserError, match="is not the file of some: its sha256 is"):
        get(server)


def test_offline_one_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("VIPL_HOME", str(tmp_path))
    url = "http://127.0.0.1:9/model.pt"
    with pytest.raises(UserError) as refused:
        fetch("some", url, hash=None, size_bytes=None)
    file = tmp_path / "weights" / "some" / "model.pt"
    assert f"cannot be had from {url} ([Errno 111] Connection refused)" in str(refused.value)
    assert f"put the file at {file}" in str(refused.value)
    file.write_bytes(CONTENT)
    assert fetch("some", url, hash=SHA256, size_bytes=None) == file


def test_two_at_once_download_one_file(server):
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=get, args=(server,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert server.asked == [None]
