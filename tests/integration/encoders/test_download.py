"""Weights are downloaded once, resumed, checked, and never half there; from a local server."""

import hashlib
import http.server
import json
import multiprocessing
import threading

import pytest
import safetensors.torch
import torch

from vipl.errors import UserError
from vipl.models.zoo import entries
from vipl.models.zoo.download import fetch, local_file

CONTENT = bytes(range(256)) * 20_000
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


WEIGHTS = safetensors.torch.save({"a": torch.arange(1000.0)})
OTHER_WEIGHTS = safetensors.torch.save({"a": torch.arange(1000.0) + 1})
assert len(WEIGHTS) == len(OTHER_WEIGHTS)


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`, cut off after `cut` bytes; remembers what was asked for.

    Attributes:
        headers: That tell the file from another version: ETag or Last-Modified.
        ranges: Whether it knows parts of files.
        heeds: Whether it looks at If-Range.
        says: What it says of a part in place of its Content-Range.
    """

    content = CONTENT
    cut = None
    headers = None
    ranges = True
    heeds = True
    says = None

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
        own, only_of = server.headers or {}, self.headers.get("If-Range")
        partial = asked and server.ranges
        if server.heeds and only_of is not None and only_of not in own.values():
            partial = False
        start, size = int(asked[6:-1]) if partial else 0, len(server.content)
        missing = start >= size
        self.send_response(416 if missing else 206 if partial else 200)
        for name, value in own.items():
            self.send_header(name, value)
        if partial:
            said = f"bytes */{size}" if missing else f"bytes {start}-{size - 1}/{size}"
            self.send_header("Content-Range", server.says or said)
        self.send_header("Content-Length", str(0 if missing else size - start))
        self.end_headers()
        self.wfile.write(server.content[start : server.cut])

    def log_message(self, *unused):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("VIPL_HOME", str(tmp_path / "home"))
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
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


def cut_off(server, after=1_500_000, hash=SHA256):
    server.cut = after
    with pytest.raises(UserError, match=rf"cut off after {after} of \d+ bytes"):
        get(server, hash=hash)
    server.cut = None
    assert not local_file("some", server.url).exists()


TAG, OTHER_TAG = {"ETag": '"one"'}, {"ETag": '"two"'}
DATE = {"Last-Modified": "Sun, 29 Nov 2026 12:00:00 GMT"}
OTHER_DATE = {"Last-Modified": "Sun, 29 Nov 2026 13:00:00 GMT"}
REST = "bytes=1500000-"


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("headers", [None, TAG, DATE])
def test_a_download_that_was_cut_off_goes_on(server, headers, ranges):
    server.headers, server.ranges = headers, ranges
    cut_off(server)
    path = get(server, hash=SHA256)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, REST]
    kept = {one.name for one in path.parent.iterdir()}
    assert kept == {"model.pt", ".model.pt.lock"}


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize(("before", "after"), [(TAG, OTHER_TAG), (DATE, OTHER_DATE)])
def test_a_file_that_has_changed_is_fetched_anew(server, before, after, heeds):
    server.content, server.headers, server.heeds = WEIGHTS, before, heeds
    cut_off(server, 2000, hash=None)
    server.content, server.headers = OTHER_WEIGHTS, after
    assert get(server).read_bytes() == OTHER_WEIGHTS
    # Where the server heeds If-Range, its answer to the second is the whole file.
    assert server.asked == [None, "bytes=2000-"] + [None] * (not heeds)


@pytest.mark.parametrize("headers", [None, {"ETag": 'W/"weak"'}])
def test_a_part_that_cannot_be_told_from_another_files_is_not_used(server, headers):
    server.content, server.headers = WEIGHTS, headers
    cut_off(server, 2000, hash=None)
    server.content = OTHER_WEIGHTS
    assert get(server).read_bytes() == OTHER_WEIGHTS
    assert server.asked == [None, None]


@pytest.mark.parametrize("says", ["bytes 0-5119999/5120000", "bytes 1500000-5119999/6000000", "no"])
def test_another_part_than_the_one_asked_for_is_not_used(server, says):
    server.headers = TAG
    cut_off(server)
    server.says = says
    assert get(server, hash=SHA256).read_bytes() == CONTENT
    assert server.asked == [None, REST, None]


@pytest.mark.parametrize(("content", "asked"), [(CONTENT[:1000], None), (CONTENT, "whole")])
def test_a_part_as_long_as_the_file_or_longer(server, content, asked):
    """Killed before it got its name: it is used if it is whole."""
    server.headers = TAG
    cut_off(server)
    part = local_file("some", server.url).with_name("model.pt.part")
    note = part.with_name("model.pt.part.json")
    server.content = content
    if asked:  # no length was known, and all of it has come
        note.write_text(json.dumps({**json.loads(note.read_text()), "size_bytes": None}))
        part.write_bytes(CONTENT)
    known = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert get(server, hash=known).read_bytes() == content
    rest = f"bytes={len(CONTENT)}-" if asked else REST
    assert server.asked == ([None, rest] if asked else [None, rest, None])


def test_a_part_of_another_address_is_not_used(server):
    server.headers = TAG
    cut_off(server)
    fetch("some", f"{server.url}?download=true", hash=SHA256, size_bytes=None)
    assert server.asked == [None, None]


def test_the_page_of_a_portal_is_not_taken_for_weights(server):
    server.content = b"<html>Please log in</html>"
    for _ in range(2):
        with pytest.raises(UserError, match=r"model.pt gave no file of weights: .* is not a check"):
            get(server)
    assert not list(local_file("some", server.url).parent.glob("model*"))
    server.content = WEIGHTS
    assert get(server).read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("../x", "http://127.0.0.1:9/model.pt"),
        ("/tmp/x", "http://127.0.0.1:9/model.pt"),
        ("..", "http://127.0.0.1:9/model.pt"),
        ("a\\b", "http://127.0.0.1:9/model.pt"),
        ("some", "http://127.0.0.1:9/a/.."),
        ("some", "http://127.0.0.1:9/"),
        ("some", "http://127.0.0.1:9/..\\x"),
    ],
)
def test_names_stay_inside_the_cache(tmp_path, monkeypatch, name, url):
    monkeypatch.setenv("VIPL_HOME", str(tmp_path / "home"))
    with pytest.raises(UserError, match="expected one plain name"):
        fetch(name, url, hash=None, size_bytes=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "a\\b", "..", "hf:a", "", "a b"])
def test_a_file_of_encoders_names_no_path(tmp_path, monkeypatch, name):
    own = {name: {"network": "resnet18", "paper": "p", "licence": "MIT", "weights": {}}}
    (tmp_path / "own.yaml").write_text(json.dumps(own))
    monkeypatch.setenv("VIPL_ENCODERS", str(tmp_path / "own.yaml"))
    with pytest.raises(UserError, match=r"own.yaml: '.*' is no name of an encoder: expected"):
        entries()


@pytest.mark.parametrize("file", ["../x.pth", "/x.pth"])
def test_a_file_in_a_package_stays_inside_it(tmp_path, monkeypatch, file):
    weights = {"package": "timm", "file": file}
    own = {"tiny": {"network": "resnet18", "paper": "p", "licence": "MIT", "weights": weights}}
    (tmp_path / "own.yaml").write_text(json.dumps(own))
    monkeypatch.setenv("VIPL_ENCODERS", str(tmp_path / "own.yaml"))
    with pytest.raises(UserError, match="expected a path inside its package"):
        entries()


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
    server.content = WEIGHTS
    path = get(server)
    assert get(server) == path
    path.write_bytes(OTHER_WEIGHTS)
    with pytest.raises(UserError, match="is not the file of some: its sha256 is"):
        get(server)
    path.with_name("model.pt.json").write_text("{")
    with pytest.raises(
        UserError, match=r"does not tell the hash of model.pt any more: delete both"
    ):
        get(server)


def test_what_is_no_address_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("VIPL_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot be had from example.org/x.pth \(unknown url type"):
        fetch("some", "example.org/x.pth", hash=None, size_bytes=None)


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
    both = [context.Process(target=get, args=(server,), kwargs={"hash": SHA256}) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert server.asked == [None]
