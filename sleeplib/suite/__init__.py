"""What the notebooks share.

`budgets` says which systems there are and how much training each gets, `runs` brings nights, splits, predictions and
records, `tables` prints them. Of AnySleep, `sites` says which cohorts and architectures there are, `across` trains
them and stages their nights, `kept` knows which of these are staged already, `channels` shows them other channels,
`limits` says how well they can do at all.
"""

from sleeplib.suite.budgets import (
    BUDGETS,
    FAMILIES,
    IDEAS,
    REAL_EEG,
    TABLE_II,
    TABLE_III,
    context,
    longer,
    systems,
)
from sleeplib.suite.runs import (
    evaluate,
    nights,
    real_eeg,
    record,
    rows,
    splits,
    stored,
    summary,
    weights_folder,
)
from sleeplib.suite.sites import (
    NIGHT_BUDGETS,
    TABLE_1,
    NightSystem,
    first_persons,
    night_systems,
    site_splits,
    stores,
)
from sleeplib.suite.tables import (
    family_table,
    gain_table,
    gains,
    idea_table,
    person_table,
    published,
    published_anysleep,
    published_curves,
    sizes,
)

__all__ = [
    "BUDGETS", "FAMILIES", "IDEAS", "NIGHT_BUDGETS", "REAL_EEG", "TABLE_1", "TABLE_II", "TABLE_III",
    "NightSystem", "context", "evaluate", "family_table", "first_persons", "gain_table", "gains", "idea_table",
    "longer", "night_systems", "nights", "person_table", "published", "published_anysleep", "published_curves",
    "real_eeg", "record", "rows", "site_splits", "sizes", "splits", "stored", "stores", "summary", "systems",
    "weights_folder",
]  # fmt: skip
