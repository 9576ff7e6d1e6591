#!/usr/bin/env bash
# A WebM with transparent pixels is decoded without them, and what they hide is shown.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/a.webm" <<'PY'
import sys

import av
import numpy as np

picture = np.full((96, 128, 4), 200, np.uint8)
picture[:, :64, 3] = 0  # the left half is transparent
with av.open(sys.argv[1], "w") as container:
    stream = container.add_stream("libvpx-vp9", rate=10)
    stream.width, stream.height, stream.pix_fmt = 128, 96, "yuva420p"
    for _ in range(3):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgba")))
    container.mux(stream.encode(None))


def first(decoder=None):
    with av.open(sys.argv[1]) as container:
        stream = container.streams.video[0]
        codec = av.CodecContext.create(decoder, "r") if decoder else stream.codec_context
        frame = next(f for packet in container.demux(stream) for f in codec.decode(packet))
        left = frame.to_ndarray(format="rgba")[48, 20].tolist()
        print(f"{codec.name}: {frame.format.name}, a transparent pixel is {left}")
        return frame.format.name, left, stream.metadata.get("alpha_mode")


print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)
own, asked = first(), first("libvpx-vp9")
assert own[0] == "yuv420p", own
assert own[1][3] == 255 and own[1][0] > 190, own
assert asked[0] == "yuva420p" and asked[1][3] == 0, asked
assert own[2] == "1", "the container does say that there is alpha"
PY
echo "as found: the default decoder drops the alpha without a word; libvpx-vp9, asked for by name, keeps it"
