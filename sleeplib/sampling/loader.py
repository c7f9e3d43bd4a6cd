"""From the page cache to the device: batches read ahead by threads, and whole recordings for validation."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count, islice

import numpy as np
import torch

from sleeplib.sampling.selection import Selection
from sleeplib.sampling.windows import Draw, Windows
from sleeplib.store import Store


@dataclass
class _Buffer:
    """Memory that batches are read into again and again; `copied` is the event of its last copy to a GPU."""

    memory: torch.Tensor
    copied: "torch.cuda.Event | None" = None


@dataclass
class Batch:
    """Windows as they lie on disk, and what is needed to make signals of them.

    Attributes
    ----------
    samples : tensor (B, C, T) int16
    scale, offset : tensors (B, C, 1) float32
        Signal = sample * scale + offset.
    labels : tensor (B, L) int64
        Stages; 9 is unscored.
    where : Draw
    step : int
    """

    samples: torch.Tensor
    scale: torch.Tensor
    offset: torch.Tensor
    labels: torch.Tensor
    where: Draw
    step: int = 0
    _buffer: _Buffer | None = field(default=None, repr=False)

    def signals(self, device: str | torch.device = "cpu") -> torch.Tensor:
        """Signals `(B, C, T)` float32 on the device; 16-bit samples travel and become numbers there."""
        samples, scale, offset = (
            x.to(device, non_blocking=True) for x in (self.samples, self.scale, self.offset)
        )
        if samples.is_cuda and self._buffer:
            # The copy may still be under way when the loader wants the buffer back.
            self._buffer.copied = torch.cuda.current_stream(samples.device).record_event()
        return samples.float().mul_(scale).add_(offset)

    def clone(self) -> "Batch":
        """A batch that stays as it is when the loader goes on."""
        return replace(self, samples=self.samples.clone(), _buffer=None)


def read(
    stores: Sequence[Store], where: Draw, length: int, step: int = 0, buffer: _Buffer | None = None
) -> Batch:
    """Read windows of `length` epochs into a batch, in the buffer's memory if there is one.

    Raises
    ------
    SleeplibError
        If a file is missing or damaged, naming it.
    """
    (B, n), size = where.channels.shape, length * stores[0].epoch_size
    memory = torch.empty(B * n * size, dtype=torch.int16) if buffer is None else buffer.memory
    samples = memory[: B * n * size].view(B, n, size)
    scale, offset = np.empty((2, B, n, 1), np.float32)
    labels = np.empty((B, length), np.int64)
    for b, rows in enumerate(samples.numpy()):
        store, i, channels = stores[where.store[b]], where.recording[b], where.channels[b]
        store.read(i, channels, where.first[b], rows)
        scale[b, :, 0], offset[b, :, 0] = (values[channels] for values in store.scale(i))
        labels[b] = store.stages(i, where.first[b], length)
    return Batch(samples, *map(torch.from_numpy, (scale, offset, labels)), where, step, buffer)


class Loader:
    """Batches of `windows`, read ahead by threads and handed out in the order of their steps.

    What a batch holds depends on the seed and the step alone, not on the number of workers. Threads are enough:
    nearly all of their time is spent copying, and then other threads run.

    Parameters
    ----------
    windows : Windows
    workers : threads; each reads a batch of its own
    ahead : batches that are ready or in work while the consumer has one
    pin_memory : whether to read into page-locked memory, from where a GPU fetches by itself; default: if there is one
    part : (r, W) reads windows r, r + W, ... of each batch: the share of one of W processes
    """

    def __init__(
        self, windows: Windows, workers: int = 2, ahead: int = 3, pin_memory: bool | None = None, part=(0, 1)
    ):
        self.windows, self.workers, self.ahead, self.part = windows, workers, max(ahead, workers), part
        self.pin_memory = torch.cuda.is_available() if pin_memory is None else pin_memory

    def __call__(self, first_step: int = 0, steps: int | None = None) -> Iterator[Batch]:
        """Batches from `first_step` on: `steps` of them, or without end.

        A run that is resumed at a step sees the batches it would have seen. A batch's samples are good until the next
        batch is asked for; `Batch.clone` keeps them. Threads end with the iterator.
        """
        numbers = islice(count(first_step), steps)
        free, waiting = deque(self._buffer() for _ in range(self.ahead + 1)), deque()
        with ThreadPoolExecutor(self.workers, "sleeplib-loader") as pool:
            try:
                while True:
                    while free and (step := next(numbers, None)) is not None:
                        waiting.append((pool.submit(self._read, step, free[0]), free.popleft()))
                    if not waiting:
                        return
                    batch, buffer = waiting.popleft()
                    yield batch.result()
                    free.append(buffer)
            finally:
                pool.shutdown(cancel_futures=True)

    def _buffer(self) -> _Buffer:
        windows = self.windows
        n = 2 if windows.selection.channels.mode == "pair" else windows.most_channels
        samples = windows.batch_size * n * windows.length * windows.stores[0].epoch_size
        return _Buffer(torch.empty(samples, dtype=torch.int16, pin_memory=self.pin_memory))

    def _read(self, step: int, buffer: _Buffer) -> Batch:
        if buffer.copied:
            buffer.copied.synchronize()
        mine = self.windows.draw(step).rows(slice(self.part[0], None, self.part[1]))
        return read(self.windows.stores, mine, self.windows.length, step, buffer)


class Recordings:
    """Full recordings for validation, one batch of one at a time (AnySleep, section 4.4).

    Parameters
    ----------
    stores, which : the data sets and their validation recordings; see `Selection`
    channels : "all" (AnySleep), in a random order, or "pair" (U-Sleep): one random EEG and one random EOG channel.
        Either is drawn once for each recording, from the seed, and is the same at every validation.

    Attributes
    ----------
    selection : Selection
    """

    def __init__(
        self, stores: Sequence[Store], which: Sequence | None = None, channels: str = "all", seed: int = 0
    ):
        self.selection, self.seed = Selection(stores, which, channels), seed

    def __len__(self) -> int:
        return len(self.selection)

    def __getitem__(self, row: int) -> Batch:
        """The recording as a batch: samples `(1, C, T)`, labels `(1, N)`."""
        if not 0 <= row < len(self):
            raise IndexError(f"recording {row} of {len(self)}")
        chosen, one = self.selection, slice(row, row + 1)
        store, recording = chosen.store[one], chosen.recording[one]
        rng = np.random.default_rng((self.seed, store[0], recording[0]))
        channels = chosen.channels.draw(rng, chosen.montage[one], chosen.channels.counts.max())
        where = Draw(store, recording, np.zeros(1, int), channels)
        return read(chosen.stores, where, int(chosen.lengths[row]), row)
