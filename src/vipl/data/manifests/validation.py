"""The manifest's schema and its checks: every error names the row, the column, and the rule."""

import difflib
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vipl.data.manifests.walk import can_be_named
from vipl.errors import UserError

MIN_FRAMES = 3
"""A clip needs three frames: a start, a step, and a goal."""

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("path", pa.string()),
        ("start_frame", pa.int64()),
        ("end_frame", pa.int64()),
        ("fps", pa.float64()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("split", pa.string()),
        ("source", pa.string()),
        ("label", pa.string()),
        ("decoder", pa.string()),
        ("stride", pa.int64()),
    ]
)
OPTIONAL = {"decoder": "any", "stride": 1}
REQUIRED = tuple(name for name in SCHEMA.names if name not in OPTIONAL)
SPLITS = ("train", "val")
DECODERS = ("any", "pyav")


def conform(table: pa.Table, *, name: str) -> pa.Table:
    """Return the table in the schema's columns, order and types.

    Args:
        table: As it was read; text columns are cast.
        name: Of the file, for messages.

    Raises:
        UserError: Naming the row (counted from 1, the header left out) and the column.
    """
    _check_columns(table.column_names, name)
    if table.num_rows == 0:
        raise UserError(f"{name} has no rows, expected at least one clip")
    columns = []
    for field in SCHEMA:
        if field.name in table.column_names:
            columns.append(_cast(table.column(field.name), field, name))
        else:
            columns.append(pa.array([OPTIONAL[field.name]] * table.num_rows, field.type))
    result = pa.table(columns, schema=SCHEMA)
    _check_values(result, name)
    return result


def _check_columns(found: list[str], name: str) -> None:
    missing = [column for column in REQUIRED if column not in found]
    extra = [column for column in found if column not in SCHEMA.names]
    repeated = sorted({column for column in found if found.count(column) > 1})
    if repeated:
        raise UserError(f"{name} has the column {repeated[0]!r} twice")
    if missing:
        near = difflib.get_close_matches(missing[0], extra, n=1)
        hint = f"; did you mean it by {near[0]!r}?" if near else ""
        raise UserError(
            f"{name} lacks the column {', '.join(map(repr, missing))}{hint} "
            f"(expected: {', '.join(REQUIRED)})"
        )
    if extra:
        raise UserError(
            f"{name} has the unknown column {', '.join(map(repr, extra))} "
            f"(expected: {', '.join(REQUIRED)}; optional: {', '.join(OPTIONAL)})"
        )


def _cast(column: pa.ChunkedArray, field: pa.Field, name: str) -> pa.ChunkedArray:
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    may_lack = field.name in ("label", "source")
    if column.null_count and not may_lack:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise UserError(_at(name, row, field.name, "empty", f"a value of type {field.type}"))
    try:
        column = column.cast(field.type)
    except pa.ArrowInvalid:
        row, value = _first_unlike(column, field.type)
        raise UserError(_at(name, row, field.name, value, f"type {field.type}")) from None
    except pa.ArrowException:
        raise UserError(
            f"{name}, column {field.name}: has type {column.type}, expected {field.type}"
        ) from None
    return pc.fill_null(column, "") if may_lack else column


def _first_unlike(column: pa.ChunkedArray, kind: pa.DataType) -> tuple[int, str]:
    """Return the first row whose value is not of a type, and the value."""
    for row, value in enumerate(column):
        try:
            value.cast(kind)
        except pa.ArrowException:
            try:
                return row, repr(value.as_py())
            except (ValueError, OverflowError):  # bytes that are no text, times out of range
                return row, f"a {value.type}"
    return 0, f"a {column.type}"


def _check_values(table: pa.Table, name: str) -> None:
    numbers = {
        column: table.column(column).to_numpy()
        for column in ("start_frame", "end_frame", "stride", "fps", "width", "height")
    }
    start, end, stride = (numbers[name] for name in ("start_frame", "end_frame", "stride"))
    finite = np.isfinite(numbers["fps"])
    _require(start >= 0, name, "start_frame", start, "a frame number of 0 or more")
    _require(stride >= 1, name, "stride", stride, "a step of 1 or more frames")
    expected = f"at least start_frame + {MIN_FRAMES}: a clip has {MIN_FRAMES} frames or more"
    expected += ", a stride apart" if (stride > 1).any() else ""
    long_enough = (end > start) & ((end - start - 1) // stride >= MIN_FRAMES - 1)
    _require(long_enough, name, "end_frame", end, expected)
    _require(finite & (numbers["fps"] > 0), name, "fps", numbers["fps"], "a rate above 0")
    for column in ("width", "height"):
        _require(numbers[column] > 0, name, column, numbers[column], "a size above 0")
    for column, allowed in (("split", SPLITS), ("decoder", DECODERS)):
        values = table.column(column)
        good = pc.is_in(values, value_set=pa.array(allowed)).to_numpy()
        _require(good, name, column, values, " or ".join(map(repr, allowed)))
    paths = table.column("path")
    # Many clips share a video: its path is looked at once.
    outside = pa.array([p for p in pc.unique(paths).to_pylist() if not _inside(p)], pa.string())
    inside = pc.invert(pc.is_in(paths, value_set=outside)).to_numpy()
    _require(inside, name, "path", paths, "a relative path that stays inside the root")
    _require_unique(table.column("clip_id"), name)


def _inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts and can_be_named(path)


def _require(
    good: NDArray[np.bool_], name: str, column: str, values: object, expected: str
) -> None:
    if good.all():
        return
    row = int(np.flatnonzero(~good)[0])
    value = values[row]  # type: ignore[index]
    value = value.as_py() if isinstance(value, pa.Scalar) else value
    shown = repr(value.item() if isinstance(value, np.generic) else value)
    raise UserError(_at(name, row, column, shown, expected))


def _require_unique(clip_ids: pa.ChunkedArray, name: str) -> None:
    if pc.count_distinct(clip_ids).as_py() == len(clip_ids):
        return
    first: dict[str, int] = {}
    for row, clip_id in enumerate(clip_ids.to_pylist()):
        if first.setdefault(clip_id, row) != row:
            expected = f"a unique id; row {first[clip_id] + 1} has the same"
            raise UserError(_at(name, row, "clip_id", repr(clip_id), expected))


def _at(name: str, row: int, column: str, value: str, expected: str) -> str:
    return f"{name}, row {row + 1}, column {column}: {value}, expected {expected}"
