"""A seed in, a night or a cohort of EDF+ files out.

`people` draws who sleeps, `macrostructure` the stages of the night, `microstructure` and `waveforms` the signals,
`scorers` the labels; `nights` puts one night together, `cohort` makes many and `files` writes each. Each draws from its
own stream of the seed, so that one can be changed without changing the others. The signals are simulated and must be
called so wherever they are shown.
"""

from sleeplib.simulator.cohort import simulate
from sleeplib.simulator.files import read_truth
from sleeplib.simulator.microstructure import mixture
from sleeplib.simulator.nights import night

__all__ = ["mixture", "night", "read_truth", "simulate"]
