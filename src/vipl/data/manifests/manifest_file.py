"""The file of a manifest, CSV or Parquet, as it is: damaged, or in another encoding."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from vipl.data.manifests.text_files import encoding_of, no_text, table_columns
from vipl.errors import UserError


def read_table(path: Path) -> pa.Table:
    """Return the table of a file that ends in .csv or .parquet.

    Raises:
        UserError: If it is none, or damaged.
    """
    try:
        table = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
        table.validate(full=True)  # a damaged file may hold texts that are none
    except UnicodeDecodeError:
        raise no_text(path) from None
    except (pa.ArrowException, MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the disk's, and not the file's
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{path} cannot be read as {path.suffix[1:]}: {reason}") from error
    return table


def _read_csv(path: Path) -> pa.Table:
    """Read every column as text: an id of digits stays as it is."""
    columns = dict.fromkeys(table_columns(path), pa.string())
    encoding = encoding_of(path).removesuffix("-sig")  # the mark is passed over
    return pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(encoding=encoding),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(column_types=columns),
    )


def _read_parquet(path: Path) -> pa.Table:
    with pa.parquet.ParquetFile(path) as file:  # and nothing is read into the folders' names
        return file.read()
