"""Packets and frames of one video stream, damaged ones passed over; which decoder it takes.

No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.codec import codecs_available
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# FFmpeg's own decoders leave out the alpha of these.
_DECODERS_OF_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """Yield the packets that can be read; an unreadable rest ends the video."""
    source = container.demux(stream)
    while True:
        try:
            yield next(source)
        except (StopIteration, av.FFmpegError):
            return


def decode(
    source: Iterator[Packet[VideoStream]], decoder: VideoCodecContext
) -> Iterator[VideoFrame]:
    """Yield the frames that can be decoded; a broken packet costs its own frame only."""
    for packet in source:
        try:
            frames = decoder.decode(packet)
        except av.FFmpegError:
            continue
        yield from frames


def decoder_of(stream: VideoStream) -> VideoCodecContext:
    """Return the stream's decoder; where FFmpeg's own leaves out what is transparent, libvpx's."""
    own = stream.codec_context
    name = _DECODERS_OF_ALPHA.get(own.name)
    if name is None or stream.metadata.get("alpha_mode") != "1" or name not in codecs_available:
        return own
    return _create(name)


def bare_decoder(stream: VideoStream) -> VideoCodecContext:
    """Return a decoder that knows what the stream says, and nothing of its container."""
    decoder = _create(stream.codec_context.name)
    decoder.extradata = stream.codec_context.extradata
    return decoder


def _create(name: str) -> VideoCodecContext:
    decoder = CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    return decoder
