"""Decoded frames turned into RGB as a player shows them: upright, square pixels, over black.

With the filters that decord uses, in its order, so that frames are equal to decord's bit by bit
where `vipl.data.decoding.decord_file` lets decord read at all. No torch here.
"""

import itertools

import av.filter
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vipl.data.decoding.display.properties import TURNS, Display, has_alpha
from vipl.data.decoding.display.tone_mapping import tone_mapped

# Colours times alpha, in 16 bits, before they are resized: what is transparent lends no colour to
# its neighbours.
_OVER_BLACK = (
    ("scale", "flags=bilinear"),
    ("format", "pix_fmts=gbrap16le"),
    ("premultiply", "inplace=1"),
)


class Converter:
    """Turns frames of one video into arrays of one size.

    Args:
        size: Width and height in pixels, as displayed.
        display: How the video's pictures are shown.
        tone_map: Whether to bring HLG and PQ to ordinary range.
    """

    def __init__(self, size: tuple[int, int], display: Display, *, tone_map: bool = False) -> None:
        self._scale = f"{size[0]}:{size[1]}:flags=bilinear"
        self._display = display
        self._high_range = tone_map and bool(display.transfer)
        self._graph: av.filter.Graph | None = None
        self._source = (0, 0, "")

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Convert one frame to uint8 [H, W, 3]."""
        source = (frame.width, frame.height, frame.format.name)
        if self._graph is None or source != self._source:
            self._graph, self._source = self._build(frame), source
        self._graph.push(frame)
        image = self._graph.pull()
        assert isinstance(image, VideoFrame)
        pixels = image.to_ndarray()
        if self._high_range:
            transfer, bt2020 = self._display.transfer, self._display.bt2020
            return tone_mapped(pixels.astype(np.uint16), transfer=transfer, bt2020=bt2020)
        return np.asarray(pixels, dtype=np.uint8)

    def _build(self, frame: VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        nodes = [
            graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base,
            )
        ]
        pixels = "rgb48le" if self._high_range else "rgb24"
        filters = [
            *TURNS[self._display.orientation],
            *(_OVER_BLACK if has_alpha(frame) else ()),
            ("scale", self._scale),
            ("format", f"pix_fmts={pixels}"),
        ]
        nodes += [graph.add(name, args) for name, args in filters]
        nodes.append(graph.add("buffersink"))
        for left, right in itertools.pairwise(nodes):
            left.link_to(right)
        graph.configure()
        return graph
