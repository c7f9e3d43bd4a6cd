"""What recurrent batch normalisation costs: a training step of SeqSleepNet-20 beside the same net with `torch.nn.GRU`.

    python benchmarks/recurrent.py [--threads 2] [--steps 15]

Prints the ratio of the two medians, measured alternately in one run, and the time to stage an 8-h night.
"""

import argparse
import statistics
import time

import torch
from torch import nn

from sleeplib import inference, models
from sleeplib.training import sequence_loss


class PlainGRU(nn.Module):
    """`torch.nn.GRU` in the place of `BNGRU`, with the same dropout on its input and output."""

    def __init__(self, inputs: int, hidden: int, dropout: float):
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        """`x` (N, T, D) -> (N, T, 2H)."""
        return self.dropout(self.gru(self.dropout(x))[0])


def plain() -> nn.Module:
    """SeqSleepNet-20 with both recurrent layers replaced."""
    network = models.build("seqsleepnet")
    s = network.settings
    network.encoder.rnn = PlainGRU(s.channels * s.filters, s.hidden, s.dropout)
    network.rnn = PlainGRU(s.attention, s.hidden, s.dropout)
    return network


def seconds_of_a_step(network, optimiser, images, labels) -> float:
    """Forward, loss, backward and Adam."""
    begun = time.perf_counter()
    loss = sequence_loss(network(images), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return time.perf_counter() - begun


def main() -> None:
    """Time both nets in turn and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=15)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    images, labels = torch.randn(32, 20, 3, 29, 129), torch.randint(0, 5, (32, 20))
    networks = {"recurrent batch normalisation": models.build("seqsleepnet"), "torch.nn.GRU": plain()}
    optimisers = {
        name: torch.optim.Adam(net.parameters(), weight_decay=1e-3) for name, net in networks.items()
    }
    times = {name: [] for name in networks}
    for step in range(a.steps + 3):
        for name, network in networks.items():
            seconds = seconds_of_a_step(network, optimisers[name], images, labels)
            if step >= 3:  # the first steps allocate memory
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(
        f"SeqSleepNet-20, batch 32, 3 channels, {a.threads} CPU threads, torch {torch.__version__}, {a.steps} steps"
    )
    for name, median in medians.items():
        print(f"  {name:30s} {1000 * median:6.0f} ms a step, {32 / median:5.0f} sequences/s")
    print(
        f"  ratio {medians['recurrent batch normalisation'] / medians['torch.nn.GRU']:.2f} (goal: at most 3)"
    )
    night = torch.randn(960, 3, 29, 129)
    network = networks["recurrent batch normalisation"]
    inference.posteriors(network, night)
    begun = time.perf_counter()
    inference.posteriors(network, night)
    print(f"  an 8-h night staged from its images, all ensembles fused: {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main()
