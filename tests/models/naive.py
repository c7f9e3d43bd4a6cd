"""The equations of SeqSleepNet with NumPy, loops and no cleverness, as a reference for the tests."""

import numpy as np

EPS = 1e-5


def sigm(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def triangles(bins=129, filters=32):
    """The matrix T from the facts: edges equally spaced in frequency, rounded down to bins, no area normalisation."""
    edges = [int((2 * bins - 1) * f / 100 + 1e-9) for f in np.linspace(0, 50, filters + 2)]
    T = np.zeros((bins, filters))
    for j in range(filters):
        low, peak, high = edges[j : j + 3]
        for k in range(bins):
            if low < k <= peak:
                T[k, j] = (k - low) / (peak - low)
            elif peak < k < high:
                T[k, j] = (high - k) / (high - peak)
    return T


def filterbank(S, W, T, mean, std):
    """Eqs. 1 and 2 for one epoch: S (C, T, F) -> (T, C * M)."""
    channels = []
    for c in range(len(S)):
        W_fb = sigm(W[c]) * T
        channels.append(np.array([W_fb.T @ ((column - mean[c]) / std[c]) for column in S[c]]))
    return np.concatenate(channels, axis=1)


class GRU:
    """Eqs. 5-8 for one direction; `p` maps names to arrays, statistics are those of evaluation or of the batch."""

    def __init__(self, p, hidden):
        self.p, self.H = p, hidden

    def norm(self, x, name, t, batch):
        """x (N, features): gain * (x - mean) / sqrt(var + eps), with the statistics of step t."""
        if batch:
            mean, var = x.mean(0), x.var(0)
        else:
            mean, var = self.p[f"norm_{name}.mean"][t], self.p[f"norm_{name}.var"][t]
        return self.p[f"gain_{name}"] * (x - mean) / np.sqrt(var + EPS)

    def run(self, s, batch):
        """s (N, T, D) -> states (N, T, H)."""
        p, H = self.p, self.H
        h, states = np.zeros((len(s), H)), []
        for t in range(s.shape[1]):
            x = self.norm(s[:, t] @ p["W_s"].T, "s", t, batch)
            a = self.norm(h @ p["W_h"].T, "h", t, batch)
            r = sigm(x[:, :H] + a[:, :H] + p["b"][:H])
            z = sigm(x[:, H : 2 * H] + a[:, H:] + p["b"][H : 2 * H])
            candidate = self.norm((r * h) @ p["W_hh"].T, "hh", t, batch)
            c = np.tanh(x[:, 2 * H :] + candidate + p["b"][2 * H :])
            h = z * h + (1 - z) * c
            states.append(h)
        return np.stack(states, axis=1)


def layer(module, direction):
    """A `GRU` with the weights of one direction of a `BNGRULayer`."""
    state = {key: value.detach().numpy() for key, value in module.state_dict().items()}
    p = {key: state[key][direction] for key in ("W_s", "W_h", "W_hh")}
    p |= {key: state[key][direction, :, 0] for key in ("gain_s", "gain_h", "gain_hh", "b")}
    for name in ("s", "h", "hh"):
        for what in ("mean", "var"):
            p[f"norm_{name}.{what}"] = state[f"norm_{name}.{what}"][:, direction, :, 0]
    return GRU(p, module.hidden)


def bidirectional(rnn, x, batch=False):
    """Eqs. 3 and 4: x (N, T, D) -> (N, T, 2H); stacks of the two directions do not exchange."""
    forward, backward = x, x[:, ::-1]
    for module in rnn.layers:
        forward = layer(module, 0).run(forward, batch)
        backward = layer(module, 1).run(backward, batch)
    return np.concatenate([forward, backward[:, ::-1]], axis=2)


def attention(a, w):
    """Eqs. 10-12 for one epoch: a (T, A) -> (A,)."""
    alpha = softmax(np.array([row @ w for row in a]))
    return sum(weight * row for weight, row in zip(alpha, a, strict=True))


def encoder(module, S, batch=False):
    """Eqs. 1-12: S (N, C, T, F) -> (N, A)."""
    p = {key: value.detach().numpy() for key, value in module.state_dict().items()}
    W, mean, std = p["filterbank.weight"], p["filterbank.mean"], p["filterbank.std"]
    X = np.stack([filterbank(epoch, W, triangles(W.shape[1], W.shape[2]), mean, std) for epoch in S])
    h = bidirectional(module.rnn, X, batch)
    a = h @ p["project.weight"].T + p["project.bias"]
    return np.stack([attention(epoch, p["attention.W_att"]) for epoch in a])


def fuse(decisions):
    """Eqs. 16-18 epoch by epoch: log-posteriors (N - L + 1, L, K) -> the mean of those about each epoch."""
    windows, L, _ = decisions.shape
    result = []
    for t in range(windows + L - 1):
        about = [decisions[i, t - i] for i in range(windows) if 0 <= t - i < L]
        result.append(sum(about) / len(about))
    return np.array(result)
