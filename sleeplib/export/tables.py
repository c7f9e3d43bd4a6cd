"""Nights in, their sleep statistics as tables out."""

from collections.abc import Sequence
from pathlib import Path

from sleeplib.analysis.architecture import Statistic, report_statistics
from sleeplib.errors import SleeplibError
from sleeplib.export.writing import may_write, writing
from sleeplib.staged import Staged
from sleeplib.stages import EPOCH_SECONDS

DECIMALS = 4
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


def _statistics(night: Staged) -> dict[str, Statistic]:
    return report_statistics(night.hypnogram.stages, EPOCH_SECONDS, night.arousals)


def statistics(night: Staged, path: str | Path, force: bool = False) -> Path:
    """Write the sleep statistics of a night, one in a line: name, value, unit, meaning.

    Raises
    ------
    SleeplibError
        If the file exists and `force` is not given, it cannot be written, or its name ends neither in .csv nor .tsv.
    """
    import pandas as pd

    rows = [(name, *statistic) for name, statistic in _statistics(night).items()]
    return _write(pd.DataFrame(rows, columns=["statistic", "value", "unit", "meaning"]), path, force)


def summary_table(nights: Sequence[Staged]):
    """A data frame with a row for each night, and for each of the `report_statistics` a column that names its unit.

    Before these: id, person, age, sex, network, whether that has seen simulated nights only, clock time of the first
    epoch, number of channels, and `confidence`, the mean probability of the stages that were chosen. A night whose
    arousals nobody looked for has no arousal index.

    Raises
    ------
    SleeplibError
        If there are no nights.
    """
    import pandas as pd

    if not nights:
        raise SleeplibError("no nights to sum up; give one or more")
    return pd.DataFrame([_row(night) for night in nights])


def _row(night: Staged) -> dict:
    person, staged = night.subject, night.hypnogram.scored
    return {
        "night": night.id,
        "person": person.id if person else None,
        "age": person.age if person else None,
        "sex": person.sex if person else None,
        "network": night.network["name"],
        "simulated": night.network.get("simulated"),
        "begins": night.begins,
        "channels": len(night.channels),
        "confidence": float(night.posteriors[staged].max(axis=1).mean()) if staged.any() else float("nan"),
        **{_column(name, statistic.unit): statistic.value for name, statistic in _statistics(night).items()},
    }


def _column(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit and not name.startswith("%") else name


def summary(nights: Sequence[Staged], path: str | Path, force: bool = False) -> Path:
    """Write the `summary_table` of nights as .csv or .tsv; errors as `statistics`."""
    return _write(summary_table(nights), path, force)


def _write(table, path: str | Path, force: bool) -> Path:
    path = may_write(path, force)
    if path.suffix.lower() not in _SEPARATORS:
        raise SleeplibError(f"{path}: cannot write tables of kind {path.suffix!r}; known: .csv, .tsv")
    numbers = table.select_dtypes("float").round(DECIMALS)
    table = table.assign(**numbers)
    with writing(path, force=force) as (part,):
        table.to_csv(
            part, sep=_SEPARATORS[path.suffix.lower()], index=False, na_rep="n/a", errors="backslashreplace"
        )
    return path
