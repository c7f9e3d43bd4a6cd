"""Tables of participants: csv and tsv, Excel's xls and xlsx, in and out as rows of texts."""

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from zipfile import ZipFile

import openpyxl
import xlrd
import xlwt

from sleeplib.errors import SleeplibError
from sleeplib.readers.common import damage, read_bytes, whole

LARGEST_CSV = 256 << 20  # bytes
LARGEST_SHEET = 6 << 20  # bytes of an xlsx file once it is unpacked; openpyxl takes up to 60 times as many
MOST_ROWS, MOST_COLUMNS = 100_000, 5_000
MOST_CELLS = 3_000_000  # kept at once: some 300 MB


def read_table(
    path,
    header_row: int | Sequence[int] | None = None,
    sheet: int | str = 0,
    columns: Collection[str] | None = None,
) -> list[dict[str, str]]:
    """Rows of a table as texts by the columns' names; a whole number is "12" however the sheet stores it.

    Empty rows and columns without a name are left out; a name that stands there twice gets " (2)" the second time.

    Parameters
    ----------
    header_row : number of the row with the names, counted from 1; by default the first that is not empty. Of two rows
        the upper one, whose cells reach to the right until the next text, is put before the lower one
    sheet : number from 0, or name, of the sheet of an Excel file
    columns : those to keep; by default all

    Raises
    ------
    SleeplibError
        If the file is no such table, has no such row or column, or is larger than a cohort.
    """
    rows = cells(path, sheet)
    names = _names(path, rows, header_row)
    missing = sorted(set(columns or ()) - set(names))
    if missing:
        raise SleeplibError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(filter(None, names))[:500]}"
        )
    kept = [(i, name) for i, name in enumerate(names) if name and (columns is None or name in columns)]
    table = []
    for row in rows:
        if any(row):
            table.append({name: row[i] if i < len(row) else "" for i, name in kept})
        if len(table) * len(kept) > MOST_CELLS:
            raise SleeplibError(f"{path}: over {MOST_CELLS:,} values; name the columns that are needed")
    return table


def column_names(path, header_row: int | Sequence[int] | None = None, sheet: int | str = 0) -> list[str]:
    """The names of a table's columns; arguments and errors as `read_table`."""
    return [name for name in _names(path, cells(path, sheet), header_row) if name]


def cells(path, sheet: int | str = 0) -> Iterator[list[str]]:
    """Rows of a table as they stand there, cell by cell as texts; errors as `read_table`."""
    path = Path(path)
    kinds = {".csv": _csv, ".tsv": _csv, ".txt": _csv, ".xls": _xls, ".xlsx": _xlsx}
    kind = path.suffix.lower()
    if kind not in kinds:
        raise SleeplibError(f"{path}: cannot read tables of kind {kind!r}; known: {', '.join(kinds)}")
    rows = kinds[kind](path, sheet)
    for n in range(MOST_ROWS + 2):
        # One row at a time: what the caller does between rows is not the file's fault.
        with damage(path, kind):
            row = next(rows, None)
        if row is None:
            return
        if n >= MOST_ROWS or len(row) > MOST_COLUMNS:
            raise SleeplibError(
                f"{path}: over {MOST_ROWS:,} rows or {MOST_COLUMNS:,} columns; not a table of persons"
            )
        yield [_text(value) for value in row]


def _names(path, rows: Iterator[list[str]], header_row) -> list[str]:
    if header_row is None:
        header = [next((row for row in rows if any(row)), [])]
    else:
        numbers = [header_row] if isinstance(header_row, int) else list(header_row)
        above = list(islice(rows, max(numbers)))
        header = [above[n - 1] if 1 <= n <= len(above) else [] for n in numbers]
    if not any(map(any, header)):
        row = 1 if header_row is None else header_row
        raise SleeplibError(f"{path}: no names of columns in row {row}; say where they are by header_row")
    width = max(map(len, header))
    *upper, lower = [row + [""] * (width - len(row)) for row in header]
    for row in upper:
        lower = [f"{above} {name}".strip() for above, name in zip(_carried(row), lower, strict=True)]
    return _distinct(lower)


def _carried(row: list[str]) -> list[str]:
    """Texts of merged cells, which stand in the leftmost alone, in all of them."""
    texts, last = [], ""
    for text in row:
        last = text or last
        texts.append(last)
    return texts


def _distinct(names: list[str]) -> list[str]:
    seen, distinct = {}, []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(f"{name} ({seen[name]})" if name and seen[name] > 1 else name)
    return distinct


def _text(value) -> str:
    """A cell's value as a person would type it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date | time) else str(value).strip()


def _csv(path: Path, sheet) -> Iterator[list[str]]:
    if path.stat().st_size > LARGEST_CSV:
        raise SleeplibError(f"{path}: over {LARGEST_CSV:,} bytes; not a table of persons")
    with path.open(encoding=_encoding(path), newline="") as file:
        start = re.sub('"[^"]*"', "", file.read(1 << 16))
        file.seek(0)
        divided = next((line for line in start.splitlines() if re.search("[,;\t]", line)), "")
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=divided.count)
        yield from csv.reader(file, delimiter=delimiter)


def _encoding(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _xls(path: Path, sheet) -> Iterator[list]:
    raw = read_bytes(path, ".xls")
    # Sheets are loaded one by one, rows as long as they are: a header may promise more than memory holds.
    with xlrd.open_workbook(
        file_contents=raw, logfile=io.StringIO(), on_demand=True, ragged_rows=True
    ) as book:
        table = book.sheet_by_name(sheet) if isinstance(sheet, str) else book.sheet_by_index(sheet)
        for n in range(table.nrows):
            yield [_xls_value(cell, book.datemode) for cell in table.row(n)]


def _xls_value(cell, datemode: int):
    if cell.ctype in (xlrd.XL_CELL_ERROR, xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK):
        return None
    if cell.ctype != xlrd.XL_CELL_DATE:
        return cell.value
    moment = xlrd.xldate_as_datetime(cell.value, datemode)
    return moment.time() if cell.value < 1 else moment


def _xlsx(path: Path, sheet) -> Iterator[Sequence]:
    raw = io.BytesIO(read_bytes(path, ".xlsx"))
    with ZipFile(raw) as archive:  # reading stops at the sizes given here, so that no bomb is unpacked
        size = sum(member.file_size for member in archive.infolist())
    if size > LARGEST_SHEET:
        raise SleeplibError(f"{path}: {size:,} bytes when unpacked, over {LARGEST_SHEET:,}; save it as csv")
    book = openpyxl.load_workbook(raw, read_only=True, data_only=True, keep_links=False)
    table = book[sheet] if isinstance(sheet, str) else book.worksheets[sheet]
    table.reset_dimensions()  # what the file says of its size may be wrong
    yield from table.iter_rows(values_only=True, max_row=MOST_ROWS + 1)
    book.close()


def write_table(
    path, rows: Sequence[dict], header_row: int = 1, header: Iterable[Sequence[str]] | None = None
) -> None:
    """Write rows of one table; numbers are numbers in sheets, if they look the same then ("0012" stays a text).

    Parameters
    ----------
    header_row : where the names of the columns stand, counted from 1, below empty rows
    header : rows to write above the values instead of the names alone

    Raises
    ------
    SleeplibError
        If the suffix is none of csv, tsv, xls, xlsx.
    """
    path, names = Path(path), list(rows[0]) if rows else []
    above = [[]] * (header_row - 1) + [names] if header is None else [list(row) for row in header]
    write_cells(path, above + [[row[name] for name in names] for row in rows])


def write_cells(path, rows: Iterable[Sequence]) -> None:
    """Write cells as they are given, row by row; errors as `write_table`."""
    path = Path(path)
    kinds = {".csv": _write_csv, ".tsv": _write_csv, ".xls": _write_xls, ".xlsx": _write_xlsx}
    if path.suffix.lower() not in kinds:
        raise SleeplibError(f"{path}: cannot write tables of kind {path.suffix!r}; known: {', '.join(kinds)}")
    with whole(path) as part:
        kinds[path.suffix.lower()](part, [list(row) for row in rows])


def _write_csv(part: Path, rows: list[list]) -> None:
    delimiter = "\t" if part.stem.lower().endswith(".tsv") else ","
    with part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)


def _write_xls(part: Path, rows: list[list]) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Sheet1")
    plain, clock = xlwt.easyxf(), xlwt.easyxf(num_format_str="hh:mm:ss")
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            sheet.write(i, j, _number(value), clock if isinstance(value, time) else plain)
    book.save(str(part))


def _write_xlsx(part: Path, rows: list[list]) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")
    for row in rows:
        sheet.append([_number(value) for value in row])
    book.save(part)


def _number(value):
    """A text as the number it stands for, where a sheet would show the same."""
    try:
        return float(value) if _text(float(value)) == value else value
    except (TypeError, ValueError, OverflowError):
        return value
