"""What SeqSleepNet costs: training, staging a night, fusing its decisions, scoring; ratios from one run.

    python benchmarks/seqsleepnet.py [--threads 2] [--steps 15] [--times 5] [--device cuda] [--compile]

Goals are for two CPU cores. What is compared is measured in turn, and checked to be equal where it should be. Wall
times are only good on an idle machine; CPU seconds bear some company, but count what threads wait for each other. A GPU
has mixed precision, too; `--compile` unrolls two recurrences and takes minutes before the first step.
"""

import argparse
import platform
import statistics as st
import time
from functools import partial

import numpy as np
import torch
from torch import nn

from sleeplib import inference, models, provenance
from sleeplib.analysis import metrics, statistics
from sleeplib.training import sequence_loss

BATCH, LENGTH, NIGHT = 32, 20, 960  # sequences, epochs of a sequence, epochs of 8 hours
TOLD = {
    "folded": "folded, pieces side by side (`inference`)",
    "readable": "the readable model, each epoch encoded once",
    "often": "the readable model, each window by itself",
}
build = partial(models.build, "seqsleepnet", sequence_length=LENGTH)


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
    network = build()
    network.encoder.rnn, network.rnn = PlainGRU(3 * 32, 64, 0.25), PlainGRU(64, 64, 0.25)
    return network


def medians(functions: dict, times: int, warm: int = 1) -> dict:
    """Median wall and CPU seconds of each function, called in turn; the first `warm` rounds do not count."""
    seconds = {name: [] for name in functions}
    for _ in range(warm + times):
        for name, function in functions.items():
            begun, cpu = time.perf_counter(), time.process_time()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append((time.perf_counter() - begun, time.process_time() - cpu))
    return {name: [st.median(x) for x in zip(*found[warm:], strict=True)] for name, found in seconds.items()}


def on_one_thread(function):
    """The function with torch's work on one thread."""

    def call():
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        function()
        torch.set_num_threads(threads)

    return call


def trainer(network, device: str, amp: bool = False, compiled: bool = False):
    """A function that makes one step of training: forward, loss, backward and Adam."""
    network = network.to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-3)
    images = torch.randn(BATCH, LENGTH, 3, 29, 129, device=device)
    labels = torch.zeros(BATCH, LENGTH, dtype=torch.long, device=device)
    forward = torch.compile(network) if compiled else network

    def step():
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            loss = sequence_loss(forward(images).float(), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def training(device: str, steps: int, compiled: bool) -> None:
    networks = {"text": build(), "released, BN-LSTM": build(variant="released"), "torch.nn.GRU": plain()}
    functions = {name: trainer(network, device) for name, network in networks.items()}
    if device == "cpu":
        functions["text, one thread"] = on_one_thread(functions["text"])
    if device == "cuda":
        functions["text, bfloat16"] = trainer(build(), device, amp=True)
    if compiled:
        functions["text, bfloat16, compiled"] = trainer(build(), device, amp=True, compiled=True)
    found = medians(functions, steps, warm=3)
    print(f"training SeqSleepNet-{LENGTH}, batch {BATCH}, 3 channels, {steps} steps:")
    for name, (wall, cpu) in found.items():
        note = f"text / this {found['text'][0] / wall:.2f}" if name != "text" else "goal: 100"
        print(
            f"  {name:26s}{1e3 * wall:7.1f} ms a step ({1e3 * cpu:.0f} CPU ms) {BATCH / wall:5.0f} sequences/s   {note}"
        )


def readable(network, night) -> torch.Tensor:
    """`inference.posteriors` by the model as it stands in its file."""
    with torch.inference_mode():
        return inference.fuse(network.decisions(night)).cpu()


def staging(device: str, times: int) -> None:
    night = torch.randn(NIGHT, 3, 29, 129, device=device)
    windows = night.unfold(0, LENGTH, 1).movedim(-1, 1)[::10]  # a tenth of them: the slow way is slow
    print("an 8-h night staged from its images, all decisions fused (goal: 1.5 s):")
    for variant in ("paper", "released"):
        network = build(variant=variant).to(device).eval()
        ways = {
            "folded": partial(inference.posteriors, network, night),
            "readable": partial(readable, network, night),
        }
        assert torch.allclose(ways["folded"](), ways["readable"](), atol=1e-5)
        if variant == "paper":
            naive = lambda: torch.cat([network(part) for part in windows.split(8)])  # noqa: B023, E731
            with torch.inference_mode():
                assert torch.allclose(naive().log_softmax(-1), network.decisions(night)[::10], atol=1e-4)
                ways["often"] = torch.inference_mode()(naive)
        found = medians(ways, times)
        for way, (wall, cpu) in found.items():
            if way == "often":
                wall, cpu = (x * (NIGHT - LENGTH + 1) / len(windows) for x in (wall, cpu))
            ratios = wall / found["folded"][0], cpu / found["folded"][1]
            print(
                f"  {variant:9s}{TOLD[way]:50s}{wall:6.2f} s ({cpu:.2f} CPU s)   this / folded "
                "{:.1f} ({:.1f} in CPU s)".format(*ratios)
            )


def loop(decisions) -> torch.Tensor:
    """Eqs. 16-18 for one epoch after the other."""
    n, L, _ = decisions.shape
    covering = [range(max(t - L + 1, 0), min(t, n - 1) + 1) for t in range(n + L - 1)]
    votes = [torch.stack([decisions[i, t - i] for i in c]) for t, c in enumerate(covering)]
    return torch.stack([v.mean(0).softmax(-1) for v in votes])


def fusing(times: int, L: int = 30, nights: int = 10) -> None:
    decisions = torch.randn(nights, NIGHT - L + 1, L, 5).log_softmax(-1)
    torch.testing.assert_close(inference.fuse(decisions[0]), loop(decisions[0]))
    ways = {way: partial(lambda way: [way(d) for d in decisions], way) for way in (inference.fuse, loop)}
    fused, looped = (1e3 * wall / nights for wall, _ in medians(ways, times).values())
    print(f"decisions of {nights} nights fused at L = {L}: {fused:.2f} ms a night (goal: 50)")
    print(f"  a loop over epochs: {looped:.0f} ms, {looped / fused:.0f} times as long")


def scoring(times: int, persons: int = 200) -> None:
    rng, person = np.random.default_rng(0), np.repeat(np.arange(persons), 1144)
    truth, other = rng.integers(0, 5, (2, person.size))
    predicted = np.where(rng.random(truth.size) < 0.8, truth, other)
    counts = statistics.confusions_by_person(truth, predicted, person)
    drawn = partial(statistics.bootstrap_by_person, metrics.kappa, counts, 1000)
    found = medians({0: partial(statistics.score, truth, predicted, person), 1: drawn}, times)
    row, kappa = (wall for wall, _ in found.values())
    print(f"{truth.size:,} epochs of {persons} persons, all numbers of a row of a table: {row:.2f} s")
    print(f"  the interval of kappa from 1000 resamples of persons: {1e3 * kappa:.0f} ms")


def main() -> None:
    """Measure all of it and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in {"threads": 2, "steps": 15, "times": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    print(platform.platform(), provenance.device(), provenance.versions(), f"on {a.device}", sep="\n")
    training(a.device, a.steps, a.compile)
    staging(a.device, a.times)
    fusing(a.times)
    scoring(a.times)


if __name__ == "__main__":
    main()
