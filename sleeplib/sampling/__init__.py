"""Which windows go into a batch, and the loader that reads them: `sequences` for SeqSleepNet, the rest for AnySleep."""

from sleeplib.sampling.channels import Channels
from sleeplib.sampling.loader import Batch, Loader, Recordings
from sleeplib.sampling.selection import Selection
from sleeplib.sampling.sequences import Nights, Sequences
from sleeplib.sampling.windows import Draw, Windows

__all__ = ["Batch", "Channels", "Draw", "Loader", "Nights", "Recordings", "Selection", "Sequences", "Windows"]
