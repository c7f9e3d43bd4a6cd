"""A seed in, a night or a cohort of EDF+ files out.

`population` and `people` draw who sleeps, `macrostructure` the stages of the night, `microstructure`, `waveforms` and
`artefacts` the potentials on the `head`; `sites` records them, and `scorers` read them. `nights` puts one night
together, `cohort` makes many and `files` writes each. Person, night, signals and scorers draw from streams of their
own, so that one can be changed without changing the others. The signals are simulated and must be called so wherever
they are shown.
"""

from sleeplib.simulator.cohort import simulate, version
from sleeplib.simulator.files import read_truth
from sleeplib.simulator.microstructure import mixture
from sleeplib.simulator.nights import night

__all__ = ["mixture", "night", "read_truth", "simulate", "version"]
