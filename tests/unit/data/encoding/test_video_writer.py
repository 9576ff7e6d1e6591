"""Videos that are written: their rate, size and pictures come back."""

import io
import os
import subprocess
import sys

import av
import numpy as np
import pytest

from vipl.data.encoding.video_writer import write_h264


def frames(count, height, width):
    ramp = np.linspace(0, 200, width).astype(np.uint8)
    return [np.repeat(np.tile(ramp + 5 * i, (height, 1))[..., None], 3, 2) for i in range(count)]


def read(file):
    with av.open(file) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return pictures, float(container.streams.video[0].average_rate)


@pytest.mark.parametrize("fps_hz", [12.5, 30.0, 7.3])
def test_frames_come_back(tmp_path, fps_hz):
    written = frames(7, 32, 48)
    write_h264(tmp_path / "a.mp4", written, fps_hz=fps_hz)
    pictures, rate = read(str(tmp_path / "a.mp4"))
    assert rate == pytest.approx(fps_hz, rel=1e-3)
    assert len(pictures) == 7
    assert np.abs(np.stack(pictures).astype(int) - np.stack(written)).mean() < 4


def test_an_odd_side_loses_its_last_line_and_a_stream_will_do():
    stream = io.BytesIO()
    write_h264(stream, frames(3, 33, 47), fps_hz=12.5)
    stream.seek(0)
    pictures, _ = read(stream)
    assert [picture.shape for picture in pictures] == [(32, 46, 3)] * 3


def test_it_says_how_its_colours_are_coded(tmp_path):
    """BT.601 in limited range, whatever a player guesses of a large picture."""
    colour = np.array([200, 60, 40])
    picture = np.broadcast_to(colour.astype(np.uint8), (64, 96, 3))
    write_h264(tmp_path / "a.mp4", [picture], fps_hz=10, crf=0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range) == (6, 1)
    luma = np.frombuffer(frame.planes[0], np.uint8)[0]
    assert abs(luma - (16 + 219 / 255 * (colour @ [0.299, 0.587, 0.114]))) < 1.5


def test_no_frames(tmp_path):
    with pytest.raises(ValueError, match="no frames"):
        write_h264(tmp_path / "a.mp4", [], fps_hz=12.5)


WRITE = """
import io
import sys
import numpy as np
from vipl.data.encoding.video_writer import write_h264
noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3)).repeat(4, 0).repeat(4, 1)
frames = (noise[3 * i : 200 + 3 * i, i : 200 + i].astype(np.uint8) for i in range(30))
stream = io.BytesIO()
write_h264(stream, frames, fps_hz=30, **eval(sys.argv[1]))
sys.stdout.buffer.write(stream.getvalue())
"""


@pytest.mark.parametrize("options", [{}, {"key_every": 12, "crf": 24, "tune": "fastdecode"}])
def test_bytes_do_not_depend_on_what_memory_held_before(options):
    """glibc fills memory with the byte of MALLOC_PERTURB_ as it is handed out and given back."""

    def written(byte):
        environment = {**os.environ, "MALLOC_PERTURB_": byte}
        command = [sys.executable, "-c", WRITE, repr(options)]
        return subprocess.run(command, env=environment, check=True, capture_output=True).stdout

    first = written("0")
    assert len(first) > 10_000
    assert first == written("1")
