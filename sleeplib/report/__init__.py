"""A staged night in, a page of HTML out that needs nothing but itself.

`panels` draws the night over time, `tables` says it in words and numbers, `look` chooses the epochs worth a look.
"""

from datetime import datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from sleeplib import __version__
from sleeplib.export.writing import writing
from sleeplib.plotting import COLOURS, LEVEL
from sleeplib.report import look, panels, tables
from sleeplib.staged import Staged

__all__ = ["page", "report"]


def report(night: Staged, path: str | Path, force: bool = False) -> Path:
    """Write the report of a night as one HTML file that opens anywhere, offline.

    The file is there whole or not at all. No request leaves the page, and whatever comes from files is escaped.

    Raises
    ------
    SleeplibError
        If the file exists and `force` is not given, or it cannot be written.
    """
    with writing(path, force=force) as (part,):
        part.write_text(page(night), encoding="utf-8")
    return Path(path)


def page(night: Staged) -> str:
    """The report of a night as the text of an HTML page."""
    here, clock = files(__package__), tables.clock(night)
    worth, more = look.worth(night)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["short"] = tables.short
    return environment.from_string((here / "template.html").read_text("utf-8")).render(
        style=(here / "report.css").read_text("utf-8"),
        script=(here / "report.js").read_text("utf-8"),
        data=_data(night),
        facts=tables.facts(night),
        network=night.network,
        id=night.id,
        rows=panels.rows(night, [entry["epoch"] for entry in worth]),
        marks=panels.marks(night),
        epochs=len(night.posteriors),
        statistics=tables.statistics(night),
        quality=tables.quality(night),
        worth=[entry | {"clock": clock(30 * entry["epoch"])} for entry in worth],
        more=more,
        rules=look.RULES,
        stages={name: COLOURS[name] for name in LEVEL},
        version=__version__,
        today=datetime.now().strftime("%d %B %Y"),
    )


def _data(night: Staged) -> dict:
    """What the script tells of the moment under the pointer: shares in per cent, stages as digits."""
    fine, per_epoch = panels.fine_stages(night)
    attention = panels.shares(night)
    names = [tables.short(name, 24, middle=True) for name in panels.channel_names(night)]
    midnight = night.begins and night.begins.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "begins": (night.begins - midnight).total_seconds() if midnight else None,
        "posteriors": panels.percent(night.posteriors).tolist(),
        "stages": "".join(map(str, night.hypnogram.stages)),
        "fine": "" if fine is None else "".join(map(str, fine)),
        "per_epoch": per_epoch,
        "attention": [] if attention is None else panels.percent(attention).tolist(),
        "window": night.attention_seconds / 30,
        "channels": names,
    }
