"""Shares of the videos, so that many machines prepare one manifest."""

import re
from typing import NamedTuple

from vipl.errors import UserError


class Shard(NamedTuple):
    """A share of the videos, for one process of an array of jobs.

    Attributes:
        number: From 0.
        total: Of shards.
    """

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the shard that "i/n" names.

        Raises:
            UserError: If it names none.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        shard = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if not shard.number < shard.total:
            raise UserError(f"--shard is {text!r}, expected i/n with i from 0 to n - 1, as 0/8")
        return shard

    def __str__(self) -> str:
        return f"{self.number}-of-{self.total}"
