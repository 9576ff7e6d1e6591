"""Clips into files: the formats of `vipl prepare`, and the writing of videos."""
