"""Decoding in a child process: hangs, crashes and orphans, by a stand-in for the decoder."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import ROOT
from tests.fixtures import media
from tests.fixtures.decoder_stand_in import CHILD
from vipl.data.decoding.probe import VideoInfo, probe
from vipl.data.decoding.video import VideoError, VideoReader
from vipl.data.processes.child import send
from vipl.data.processes.isolation import DecoderProcess
from vipl.data.processes.pool import call_many, probe_many
from vipl.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    media.write_video(folder / "plain.mp4")
    media.write_video(folder / "bframes.mp4", bframes=2)
    media.write_video(folder / "rotated.mp4", rotation=90)
    for name in ("hanging", "crashing"):  # for the stand-in
        (folder / f"{name}.mp4").symlink_to(folder / "plain.mp4")
    return folder


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    with DecoderProcess(timeout_s=20) as decoder:
        yield decoder


def test_child_gives_the_same(folder: Path, decoder: DecoderProcess) -> None:
    path = folder / "rotated.mp4"
    assert decoder.probe(path) == probe(path)
    with VideoReader(path, short_side=90) as reader:
        expected = reader.read([5, 1])
    got = decoder.read(path, [5, 1], short_side=90)
    np.testing.assert_array_equal(got, expected)
    got[:] = 0  # writable
    assert decoder.read(path, []).shape == (0, 128, 96, 3)


def test_child_crops(folder: Path, decoder: DecoderProcess) -> None:
    from vipl.data.processes.augment import crop_and_resize

    crop = {"seed": (1, 2, 3), "size": 32, "scale": (0.5, 1.0)}
    got = decoder.sample(folder / "plain.mp4", [0, 9], crop=crop, backend="pyav")
    with VideoReader(folder / "plain.mp4", backend="pyav") as reader:
        expected = crop_and_resize(reader.read([0, 9]), seed=(1, 2, 3), size=32, scale=(0.5, 1.0))
    np.testing.assert_array_equal(got, expected)
    with pytest.raises(RuntimeError, match=r"TypeError: .*colour"):
        decoder.sample(folder / "plain.mp4", [0], crop={"size": 32, "colour": 1})


def test_errors_travel(tmp_path: Path, folder: Path, decoder: DecoderProcess) -> None:
    with pytest.raises(VideoError, match=r"bad.mp4: the file is empty \(0 bytes\)\.$"):
        decoder.read(media.write_empty(tmp_path / "bad.mp4"), [0])
    with pytest.raises(UserError, match="short_side must be at least 1"):
        decoder.read(folder / "plain.mp4", [0], short_side=-3)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipl.data.processes.isolation._CHILD", CHILD)


def test_a_hang_is_cut_off(folder: Path, stand_in: None) -> None:
    with DecoderProcess(timeout_s=1.5) as decoder:
        began = time.monotonic()
        with pytest.raises(VideoError, match=r"hanging\.mp4: did not decode within 1\.5 s\.$"):
            decoder.read(folder / "hanging.mp4", [3, 9])
        assert time.monotonic() - began < 5
        assert decoder.pid is None
        assert decoder.read(folder / "plain.mp4", [40]).shape == (1, 96, 128, 3)


def test_a_crash_is_told(folder: Path, stand_in: None) -> None:
    with DecoderProcess(timeout_s=20) as decoder:
        with pytest.raises(
            VideoError, match=r"crashing\.mp4: crashed the decoder \(exit status 3\)"
        ):
            decoder.read(folder / "crashing.mp4", [3, 9])
        assert decoder.read(folder / "plain.mp4", [40]).shape == (1, 96, 128, 3)


def test_a_stopped_child_counts_as_hung(folder: Path) -> None:
    with DecoderProcess(timeout_s=0.5) as decoder:
        decoder.read(folder / "plain.mp4", [0])
        pid = decoder.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(VideoError, match=r"did not decode within 0\.5 s"):
            decoder.read(folder / "plain.mp4", [0])
        assert not alive(pid)


def test_a_child_lost_between_calls_changes_nothing(folder: Path) -> None:
    with DecoderProcess() as decoder:
        before = decoder.read(folder / "plain.mp4", [3])
        os.kill(decoder.pid, signal.SIGKILL)
        np.testing.assert_array_equal(decoder.read(folder / "plain.mp4", [3]), before)


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the child crash on every call whose request `matches`."""

    def arrange(decoder: DecoderProcess, number: int, **matches: object) -> None:
        def send_and_crash(
            connection: object, header: dict[str, object], **options: object
        ) -> None:
            hit = all(header.get(key) == value for key, value in matches.items())
            if hit:
                os.kill(decoder.pid, signal.SIGSTOP)
            send(connection, header, **options)
            if hit:
                os.kill(decoder.pid, number)
                os.kill(decoder.pid, signal.SIGCONT)

        monkeypatch.setattr("vipl.data.processes.isolation.send", send_and_crash)

    return arrange


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_is_the_videos_fault(
    number: signal.Signals, folder: Path, crashing: Callable[..., None]
) -> None:
    with DecoderProcess() as decoder:
        crashing(decoder, number, call="read")
        with pytest.raises(
            VideoError, match=rf"plain\.mp4: crashed the decoder \(killed by {number.name}.*\)\.$"
        ):
            decoder.read(folder / "plain.mp4", [0])
        assert decoder.probe(folder / "plain.mp4").num_frames == 48


def test_probe_without_decord_where_it_crashes(folder: Path, crashing: Callable[..., None]) -> None:
    with DecoderProcess() as decoder:
        crashing(decoder, signal.SIGSEGV, try_decord=True)
        info = decoder.probe(folder / "plain.mp4")
    assert (info.num_frames, info.decoder) == (48, "pyav")
    assert info.note == "decord crashed the decoder (killed by SIGSEGV)"


def test_pickled_and_forked_decoders_start_their_own_child(folder: Path) -> None:
    path = folder / "plain.mp4"
    with DecoderProcess(timeout_s=7) as decoder:
        decoder.read(path, [0])
        with pickle.loads(pickle.dumps(decoder)) as copy:
            assert (copy.timeout_s, copy.pid) == (7, None)
            copy.read(path, [0])
            assert copy.pid != decoder.pid
        before = decoder.pid
        worker = os.fork()
        if worker == 0:
            try:
                fresh = decoder.pid is None and decoder.read(path, [0]).shape[0] == 1
                decoder.close()
                os._exit(0 if fresh else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 0
        decoder.read(path, [0])
        assert decoder.pid == before


def test_child_imports_no_torch_and_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vipl.data.processes.isolation._CALLS_PER_CHILD", 2)
    with DecoderProcess() as decoder:
        pids = set()
        for _ in range(4):
            decoder.sample(folder / "plain.mp4", [0], crop={"size": 32})
            pids.add(decoder.pid)
            assert "torch" not in Path(f"/proc/{decoder.pid}/maps").read_text()
        assert len(pids) == 2
    assert not any(map(alive, pids))


PARENT = """
import sys, time
from tests.fixtures.decoder_stand_in import CHILD
from vipl.data.processes import isolation
isolation._CHILD = CHILD
decoder = isolation.DecoderProcess(timeout_s=1)
decoder.probe(sys.argv[1])
print(decoder.pid, flush=True)
if len(sys.argv) > 2:
    decoder.read(sys.argv[2], [3, 9])
time.sleep(60)
"""


@pytest.mark.parametrize("hanging", [False, True])
def test_child_ends_when_its_parent_dies(hanging: bool, folder: Path) -> None:
    files = [folder / "plain.mp4", folder / "hanging.mp4"][: 1 + hanging]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *map(str, files)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 8
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_probe_many(folder: Path, tmp_path: Path) -> None:
    paths = [folder / "plain.mp4", media.write_empty(tmp_path / "bad.mp4"), folder / "bframes.mp4"]
    results = dict(probe_many(paths, workers=2, timeout_s=20))
    assert isinstance(results[1], VideoError)
    assert [results[0], results[2]] == [probe(paths[0]), probe(paths[2])]
    assert isinstance(results[0], VideoInfo)
    assert list(probe_many([], workers=2, timeout_s=20)) == []
    first = probe_many(paths, workers=1, timeout_s=20)
    next(first)
    first.close()


def test_what_is_not_wanted_any_more_is_not_waited_for(folder: Path) -> None:
    """An interrupt of `vipl prepare` must not wait until a video that hangs has timed out."""

    def look(decoder: DecoderProcess, job: int) -> int:
        if job:
            decoder.glance(folder / "plain.mp4")
            os.kill(decoder.pid, signal.SIGSTOP)
            decoder.glance(folder / "plain.mp4")
        return job

    results = call_many(look, [0, 1, 2], workers=3, timeout_s=100)
    assert next(results) == (0, 0)
    begin = time.monotonic()
    time.sleep(2)
    results.close()
    assert time.monotonic() - begin < 30
