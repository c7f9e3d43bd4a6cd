"""A seed in, a night or a cohort of EDF+ files out.

`people` draws who sleeps, `macrostructure` the stages of the night, `microstructure` and `waveforms` the signals,
`scorers` the 30-s labels; `nights` puts one night together and `cohort` writes many. Each draws from its own stream of
the seed, so that one can be changed without changing the others. The signals are simulated and must be called so
wherever they are shown.
"""

from sleeplib.simulator.cohort import simulate
from sleeplib.simulator.nights import night

__all__ = ["night", "simulate"]
