"""Tables of participants: every kind that the archives have, with headings above, merged cells and other encodings."""

from datetime import date, datetime, time
from zipfile import ZipFile

import openpyxl
import pytest
import xlwt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sleeplib.errors import SleeplibError
from sleeplib.readers import tables
from sleeplib.readers.tables import cells, read_table, write_cells, write_table

KINDS = [".csv", ".tsv", ".xls", ".xlsx"]
ROWS = [{"id": "0012", "age": "44.5", "sex": "F"}, {"id": "a", "age": "12", "sex": ""}]
texts = st.text("abcXYZ0123456789.,;\"'\t äµ-", max_size=8).map(str.strip)


@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_read_back(tmp_path, kind):
    path = tmp_path / f"x{kind}"
    write_table(path, ROWS)
    assert read_table(path) == ROWS
    assert read_table(path, columns={"sex", "id"}) == [{"id": "0012", "sex": "F"}, {"id": "a", "sex": ""}]
    write_table(path, ROWS, header_row=3)
    assert read_table(path, header_row=3) == ROWS
    assert read_table(path) == ROWS  # empty rows are no header
    with pytest.raises(SleeplibError, match="no column AHI; it has id, age, sex"):
        read_table(path, columns=["AHI"])
    for row in (0, 9):
        with pytest.raises(SleeplibError, match=f"no names of columns in row {row}"):
            read_table(path, header_row=row)
    assert not list(tmp_path.glob("*.part"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.fixed_dictionaries({"a": texts, "b": texts, "c d": texts}), min_size=1, max_size=8))
@pytest.mark.parametrize("kind", KINDS)
def test_any_table_survives(tmp_path, kind, rows):
    write_table(tmp_path / f"x{kind}", rows)
    kept = [row for row in rows if any(row.values())]
    assert read_table(tmp_path / f"x{kind}", header_row=1) == kept


@pytest.mark.parametrize("kind", [".xls", ".xlsx"])
def test_a_header_of_two_rows_as_in_the_telemetry_study(tmp_path, kind):
    header = [
        ["Subject - age - sex", "", "", "Placebo night", "", "Temazepam night", ""],
        ["Nr", "Age", "M1/F2", "night nr", "lights off", "night nr", "lights off"],
    ]
    path = tmp_path / f"ST-subjects{kind}"
    write_cells(path, [*header, [1, 60, 1, 1, time(23, 1), 2, time(23, 48)]])
    assert (
        read_table(path, header_row=(1, 2))
        == [
            {
                "Subject - age - sex Nr": "1",
                "Subject - age - sex Age": "60",
                "Subject - age - sex M1/F2": "1",
                "Placebo night night nr": "1",
                "Placebo night lights off": "23:01:00",
                "Temazepam night night nr": "2",
                "Temazepam night lights off": "23:48:00",
            }
        ]
        or kind == ".xls"
    )
    assert list(read_table(path, header_row=2)[0])[3:] == [
        "night nr",
        "lights off",
        "night nr (2)",
        "lights off (2)",
    ]
    write_table(path, [{"Nr": "7"}], header=[["About"], [], ["Nr"]])
    assert read_table(path, header_row=3) == [{"Nr": "7"}]


def test_dates_and_numbers_of_old_sheets(tmp_path):
    book = xlwt.Workbook()
    sheet = book.add_sheet("Nights")
    clock, day = xlwt.easyxf(num_format_str="hh:mm"), xlwt.easyxf(num_format_str="yyyy-mm-dd")
    for i, name in enumerate(["off", "date", "n", "x", "", "ok"]):
        sheet.write(0, i, name)
    sheet.write(1, 0, time(23, 48), clock)
    sheet.write(1, 1, date(1994, 3, 2), day)
    for i, value in enumerate([12, 0.1, "unnamed", True], 2):
        sheet.write(1, i, value)
    book.save(str(tmp_path / "x.xls"))
    row = {"off": "23:48:00", "date": "1994-03-02", "n": "12", "x": "0.1", "ok": "1"}
    assert read_table(tmp_path / "x.xls") == read_table(tmp_path / "x.xls", sheet="Nights") == [row]
    for sheet in (1, "Days"):
        with pytest.raises(SleeplibError, match=r"x\.xls: not a readable"):
            read_table(tmp_path / "x.xls", sheet=sheet)


def test_dates_and_sheets_of_new_books(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.create_sheet("Two").append(["date", "n"])
    book["Two"].append([datetime(2015, 1, 2), 3.0])
    book["Two"].append([datetime(2015, 1, 2, 3, 4), None])
    book.save(tmp_path / "x.xlsx")
    rows = [{"date": "2015-01-02", "n": "3"}, {"date": "2015-01-02T03:04:00", "n": ""}]
    assert read_table(tmp_path / "x.xlsx", sheet=1) == read_table(tmp_path / "x.xlsx", sheet="Two") == rows


def test_texts_of_other_programs(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("Größe;n\r\n1,5;2\r\n\r\n3;4;5\r\n6\r\n".encode("latin-1"))
    assert read_table(path) == [{"Größe": "1,5", "n": "2"}, {"Größe": "3", "n": "4"}, {"Größe": "6", "n": ""}]
    path.write_bytes(b'\xef\xbb\xbfa,b\n"x, y","two\nlines"\n')
    assert read_table(path) == [{"a": "x, y", "b": "two\nlines"}]
    path.write_text('About people, "a;b;c"\n\nid;a\n1,5;2\n'.replace(",", " ", 1))
    assert read_table(path, header_row=3) == [{"id": "1,5", "a": "2"}]
    path.write_text("id,a,,a\n1,2,3,4\n")
    assert read_table(path) == [{"id": "1", "a": "2", "a (2)": "4"}]


def test_what_is_no_table(tmp_path, monkeypatch):
    for kind in (".xls", ".xlsx"):
        for raw in (b"", b"no sheet", b"\xd0\xcf\x11\xe0" * 200):
            (tmp_path / f"x{kind}").write_bytes(raw)
            with pytest.raises(SleeplibError, match=rf"x\{kind}"):
                read_table(tmp_path / f"x{kind}")
    (tmp_path / "x.csv").write_bytes(b"")
    with pytest.raises(SleeplibError, match="no names of columns"):
        read_table(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes(b"a" * 200_000)
    with pytest.raises(SleeplibError, match=r"not a readable \.csv"):
        read_table(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes(b"a," * 6000)
    with pytest.raises(SleeplibError, match="5,000 columns"):
        read_table(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SleeplibError, match="not a table of persons"):
        read_table(tmp_path / "x.csv")
    for path in ("x.pdf", "x"):
        with pytest.raises(SleeplibError, match="cannot read tables"):
            read_table(path)
        with pytest.raises(SleeplibError, match="cannot write tables"):
            write_cells(path, [])
    with pytest.raises(SleeplibError, match="no such file"):
        read_table("nowhere.xlsx")
    monkeypatch.setattr(tables, "MOST_CELLS", 5)
    write_table(tmp_path / "x.csv", ROWS)
    with pytest.raises(SleeplibError, match="name the columns"):
        read_table(tmp_path / "x.csv")
    assert len(read_table(tmp_path / "x.csv", columns=["id"])) == 2


def test_rows_that_are_far_away(tmp_path):
    """A sheet of one row can say that it is the millionth; nobody waits for those above."""
    path = tmp_path / "x.xlsx"
    write_cells(path, [["a"], ["1"]])
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = next(name for name in parts if name.endswith("sheet1.xml"))
    assert b'<row r="2"' in parts[sheet]
    parts[sheet] = parts[sheet].replace(b'r="2"', b'r="1000000000"')
    with ZipFile(path, "w") as archive:
        for name, raw in parts.items():
            archive.writestr(name, raw)
    assert next(cells(path)) == ["a"]
    with pytest.raises(SleeplibError, match="100,000 rows"):
        read_table(path)
