"""Ego4D: its metadata, narrations and clips."""

from vipl.data.sources.ego4d.build import build_ego4d

__all__ = ["build_ego4d"]
