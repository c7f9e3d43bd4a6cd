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


class LSTM:
    """The released cell for one direction: x (N, T, D) -> states (N, T, H); `p` as for `GRU`."""

    def __init__(self, p, hidden):
        self.p, self.H = p, hidden

    def run(self, x, batch):
        p, H, norm = self.p, self.H, GRU(self.p, self.H).norm
        h = c = np.zeros((len(x), H))
        states, self.c = [], []
        for t in range(x.shape[1]):
            gates = norm(x[:, t] @ p["W_x"].T, "x", t, batch) + norm(h @ p["W_h"].T, "h", t, batch) + p["b"]
            f, i, o, j = gates[:, :H], gates[:, H : 2 * H], gates[:, 2 * H : 3 * H], gates[:, 3 * H :]
            c = c * sigm(f) + sigm(i) * np.tanh(j)
            self.c.append(c)
            h = np.tanh(norm(c, "c", t, batch) + p["b_c"]) * sigm(o)
            states.append(h)
        return np.stack(states, axis=1)


class PlainGRU:
    """TensorFlow's GRUCell for one direction; the matrices take [x, h] side by side."""

    def __init__(self, p, hidden):
        H = self.H = hidden
        self.gates = np.concatenate([p["W_s"][: 2 * H], p["W_h"]], axis=1).T
        self.candidate = np.concatenate([p["W_s"][2 * H :], p["W_hh"]], axis=1).T
        self.b = p["b"]

    def run(self, x, batch):
        H, h, states = self.H, np.zeros((len(x), self.H)), []
        for t in range(x.shape[1]):
            gates = sigm(np.concatenate([x[:, t], h], axis=1) @ self.gates + self.b[: 2 * H])
            r, u = gates[:, :H], gates[:, H:]
            c = np.tanh(np.concatenate([x[:, t], r * h], axis=1) @ self.candidate + self.b[2 * H :])
            h = u * h + (1 - u) * c
            states.append(h)
        return np.stack(states, axis=1)


CELLS = {"BNGRULayer": GRU, "BNLSTMLayer": LSTM, "GRULayer": PlainGRU}


def layer(module, direction):
    """A cell of `CELLS` with the weights of one direction of a layer."""
    p = {}
    for key, value in module.state_dict().items():
        value = value.detach().numpy()
        p[key] = value[:, direction] if key.startswith("norm_") else value[direction]
        p[key] = p[key][..., 0] if p[key].shape[-1] == 1 else p[key]
    return CELLS[type(module).__name__](p, module.hidden)


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


def additive_attention(h, W, b, v):
    """The released attention for one epoch: h (T, D) -> (D,)."""
    alpha = softmax(np.array([np.tanh(W @ row + b) @ v for row in h]))
    return sum(weight * row for weight, row in zip(alpha, h, strict=True))


def encoder(module, S, batch=False):
    """Eqs. 1-12: S (N, C, T, F) -> (N, A)."""
    p = {key: value.detach().numpy() for key, value in module.state_dict().items()}
    W, mean, std = p["filterbank.weight"], p["filterbank.mean"], p["filterbank.std"]
    X = np.stack([filterbank(epoch, W, triangles(W.shape[1], W.shape[2]), mean, std) for epoch in S])
    h = bidirectional(module.rnn, X, batch)
    if "project.weight" not in p:
        attention_parameters = [p[f"attention.{key}"] for key in ("W", "b", "v")]
        return np.stack([additive_attention(epoch, *attention_parameters) for epoch in h])
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
