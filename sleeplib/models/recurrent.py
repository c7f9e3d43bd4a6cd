"""Bidirectional RNNs with recurrent batch normalisation (SeqSleepNet eqs. 3-8; Cooijmans et al. 2017).

Inside, everything is laid out features first, `(..., features, rows)`: normalising the last axis is then batch
normalisation over the rows of a step, one contiguous and fused operation for both directions at once.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from sleeplib.errors import SleeplibError

EPS = 1e-5
KEEP = 0.95  # population statistics: old * 0.95 + batch * 0.05


class StepwiseBatchNorm(nn.Module):
    """Statistics of batch normalisation for each of `steps` time steps; no gain or offset of its own.

    Each step needs statistics of its own because the state has not settled in the first steps.
    """

    def __init__(self, steps: int, *features: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(steps, *features, 1))
        self.register_buffer("var", torch.ones(steps, *features, 1))

    def forward(self, x: Tensor, step: int | slice) -> tuple[Tensor, tuple]:
        """Normalise `x` (..., features, rows) of a step (or a slice of them).

        Also returns batch statistics to `update` with.
        """
        if not self.training:
            return (x - self.mean[step]) * (self.var[step] + EPS).rsqrt(), ()
        x, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], None, None, EPS)
        return x, (mean.detach(), rstd.detach())

    def check(self, T: int) -> None:
        """Refuse sequences that are longer than the statistics."""
        if len(self.mean) < T:
            raise SleeplibError(f"this network was built for sequences of {len(self.mean)} steps and got {T}")

    @torch.no_grad()
    def update(self, mean: Tensor, rstd: Tensor) -> None:
        """Move the population statistics of the first steps towards the batch's (biased variance)."""
        var = (rstd**-2 - EPS).clamp_min(0)
        self.mean[: len(mean)].lerp_(mean.to(self.mean.dtype), 1 - KEEP)
        self.var[: len(var)].lerp_(var.to(self.var.dtype), 1 - KEEP)


class BNGRULayer(nn.Module):
    """One layer, both directions; the backward one is given its sequence reversed.

    r_t = sigm(BN(W_sr s_t) + BN(W_hr h_{t-1}) + b_r)            (5)
    z_t = sigm(BN(W_sz s_t) + BN(W_hz h_{t-1}) + b_z)            (6)
    c_t = tanh(BN(W_sh s_t) + BN(W_hh (r_t * h_{t-1})) + b_h)    (7)
    h_t = z_t * h_{t-1} + (1 - z_t) * c_t                        (8)

    BN(x) = gain * (x - mean_t) / sqrt(var_t + eps): the bias b is the one offset, gains start at 0.1 so that
    the gates do not saturate.
    """

    def __init__(self, inputs: int, hidden: int, steps: int):
        super().__init__()
        self.hidden = hidden
        self.W_s = nn.Parameter(torch.empty(2, 3 * hidden, inputs))  # rows r, z, h
        self.W_h = nn.Parameter(torch.empty(2, 2 * hidden, hidden))  # rows r, z
        self.W_hh = nn.Parameter(torch.empty(2, hidden, hidden))
        self.gain_s = nn.Parameter(torch.full((2, 3 * hidden, 1), 0.1))
        self.gain_h = nn.Parameter(torch.full((2, 2 * hidden, 1), 0.1))
        self.gain_hh = nn.Parameter(torch.full((2, hidden, 1), 0.1))
        self.b = nn.Parameter(torch.zeros(2, 3 * hidden, 1))
        self.norm_s = StepwiseBatchNorm(steps, 2, 3 * hidden)
        self.norm_h = StepwiseBatchNorm(steps, 2, 2 * hidden)
        self.norm_hh = StepwiseBatchNorm(steps, 2, hidden)
        for direction in range(2):
            for weight in (self.W_s, self.W_h, self.W_hh):
                nn.init.orthogonal_(weight[direction])
        # sigm(1) = 0.73: the state is kept rather than replaced at first, as in GRU cells of the time.
        nn.init.ones_(self.b[:, : 2 * hidden])

    def forward(self, s: Tensor) -> Tensor:
        """`s` (T, 2, D, N), both directions in their own order of time -> states (T, 2, H, N)."""
        T, H = len(s), self.hidden
        self.norm_s.check(T)
        x, statistics_s = self.norm_s(self.W_s @ s, slice(T))
        x = torch.addcmul(self.b, self.gain_s, x)  # (T, 2, 3H, N)
        h = x.new_zeros(2, H, s.shape[-1])
        states, statistics_h, statistics_hh = [], [], []
        # unbind, not indexing: the gradient of x[t] would fill a tensor of the size of x at every step
        for t, (gates, candidate) in enumerate(
            zip(x[:, :, : 2 * H].unbind(), x[:, :, 2 * H :].unbind(), strict=True)
        ):
            recurrent, statistics = self.norm_h(torch.bmm(self.W_h, h), t)
            r, z = torch.addcmul(gates, self.gain_h, recurrent).sigmoid().chunk(2, dim=1)
            statistics_h.append(statistics)
            recurrent, statistics = self.norm_hh(torch.bmm(self.W_hh, r * h), t)
            c = torch.addcmul(candidate, self.gain_hh, recurrent).tanh()
            statistics_hh.append(statistics)
            h = torch.lerp(c, h, z)
            states.append(h)
        if self.training:
            self.norm_s.update(*statistics_s)
            self.norm_h.update(*map(torch.stack, zip(*statistics_h, strict=True)))
            self.norm_hh.update(*map(torch.stack, zip(*statistics_hh, strict=True)))
        return torch.stack(states)


class Bidirectional(nn.Module):
    """Stacked layers of both directions (eqs. 3 and 4), dropout on the input and output (not on the state).

    Parameters
    ----------
    inputs, hidden : features of the input and of each direction's state
    steps : longest sequence; each step has its own population statistics, the backward direction counts from the end
    depth : stacked layers; the two directions' stacks do not exchange
    """

    layer: type[nn.Module]

    def __init__(self, inputs: int, hidden: int, steps: int, depth: int = 1, dropout: float = 0.0):
        super().__init__()
        sizes = [inputs] + [hidden] * (depth - 1)
        self.layers = nn.ModuleList([self.layer(size, hidden, steps) for size in sizes])
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """`x` (N, T, D) -> (N, T, 2H), forward states first."""
        s = torch.stack([x, x.flip(1)])  # (2, N, T, D)
        s = functional.dropout(s, self.dropout, self.training).permute(2, 0, 3, 1)  # (T, 2, D, N)
        for layer in self.layers:
            s = layer(s)
        s = functional.dropout(s, self.dropout, self.training)
        forward, backward = s[:, 0], s[:, 1].flip(0)
        return torch.cat([forward, backward], dim=1).permute(2, 0, 1)


class BNGRU(Bidirectional):
    """Bidirectional GRU with recurrent batch normalisation."""

    layer = BNGRULayer
