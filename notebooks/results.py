# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Results
#
# Every number on this page is read from a *result record*: a JSON file that says what was measured, on which data, with
# which parameters, by which version of the code and on which machine. Nothing here was typed by hand. Results on
# simulated and on real nights stand in separate tables, because they answer different questions.

# %% tags=["setup", "remove-cell"]
import importlib.util
import subprocess
import sys

# Colab starts without the package.
if importlib.util.find_spec("sleeplib") is None:
    package = "sleeplib @ git+https://github.com/sleeplib/sleeplib"
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    subprocess.check_call([*pip, package])

# %% tags=["parameters"]
only = ""  # a record's name: show this one alone

# %% tags=["hide-input"]
from IPython.display import Markdown, display

from sleeplib import results


def show(record):
    """A record as the book prints it: title, table, and where it comes from."""
    data, device, git = record["data"], record["device"], record["git"] or {}
    kind = "simulated" if record["simulated"] else "real"
    display(Markdown(f"### {record['title']} ({kind})"))
    display(results.table(record))
    where = (
        f"{data['recordings']} nights of {data['persons']} persons, {data['epochs']:,} "
        f"epochs of {data.get('epoch_seconds', 30):g} s"
    )
    made = f"{record['date'][:10]}, {record['seconds'] / 60:.1f} min on {device['cpu']} ({device['cores']} cores)"
    code = (
        f"sleeplib {record['versions']['sleeplib']}, torch {record['versions']['torch']}, "
        f"commit {git.get('commit', 'unknown')[:10]}{' with local changes' if git.get('dirty') else ''}"
    )
    display(
        Markdown(
            f"{data.get('scored', 'Pooled over epochs')}; brackets: 95 % intervals over persons. {where}. "
            f"{made}. {code}. Data SHA-256 {data['digest'][:16]}."
        )
    )


records = [
    r
    for name, r in sorted(results.latest(results.load_all()).items())
    if only in ("", name)
]

# %% [markdown]
# ## Simulated nights
#
# Simulated cohorts. Each record says which, and on which machine it was made.

# %% tags=["hide-input"]
for record in records:
    if record["simulated"]:
        show(record)

# %% [markdown]
# ## Real nights

# %% tags=["hide-input"]
for record in records:
    if not record["simulated"]:
        show(record)
