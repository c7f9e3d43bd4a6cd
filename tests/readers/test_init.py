"""The door of the readers: the file's name chooses."""

import pytest

from sleeplib import readers
from sleeplib.errors import SleeplibError


@pytest.mark.parametrize("door", [readers.read, readers.header, readers.read_hypnogram])
def test_missing_and_foreign_files(door, tmp_path):
    with pytest.raises(SleeplibError, match=r"night\.edf: no such file"):
        door(tmp_path / "night.edf")
    with pytest.raises(SleeplibError, match="no such file"):
        door(tmp_path)
    for name, known in (("night.doc", r"\.doc"), ("night", "a file without suffix")):
        (tmp_path / name).touch()
        with pytest.raises(SleeplibError, match=rf"cannot read {known} as .*known: .*\.edf.*\.npz"):
            door(tmp_path / name)


def test_files_of_stages_alone_hold_no_signals(tmp_path):
    for name in ("a.tsv", "a.xml", "a.ids", "a.json", "a.xlsx"):
        (tmp_path / name).touch()
        for door in (readers.read, readers.header):
            with pytest.raises(SleeplibError, match=r"cannot read .* as "):
                door(tmp_path / name)
        with pytest.raises(SleeplibError, match=name):
            readers.read_hypnogram(tmp_path / name)


@pytest.mark.parametrize("suffix", [".edf", ".rec", ".EDF", ".h5", ".hdf5", ".hea", ".npz", ".Npz"])
def test_case_does_not_matter_and_empty_files_are_damaged(suffix, tmp_path):
    path = tmp_path / f"night{suffix}"
    path.touch()
    for door in (readers.read, readers.header, readers.read_hypnogram):
        with pytest.raises(SleeplibError) as error:
            door(path)
        assert str(path) in str(error.value) and "cannot read" not in str(error.value)
