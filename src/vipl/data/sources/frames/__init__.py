"""Folders of frames, and the tables of the released VIP, R3M and LIV."""

from vipl.data.sources.frames.build import build_frames

__all__ = ["build_frames"]
