"""Published weights from a server that does everything wrong: only the authors' files are opened, as tensors alone."""

import io
import json
import pickle
import re
import signal
import subprocess
import sys
import time
from hashlib import sha256

import pytest
import torch
import yaml

from sleeplib import models
from sleeplib.errors import SleeplibError
from sleeplib.models import authors, published, weights
from tests.cohorts.server import serving

NETWORKS = {
    "anysleep-run1": ("anysleep", {"depth": 2}),
    "usleep-run1": ("usleep", {"depth": 2}),
    "anysleep-early-fusion-run1": ("anysleep-early", {"depth": 2, "hidden": 32}),
    "anysleep-late-fusion-run1": ("anysleep-late", {"depth": 2, "hidden": 32}),
}
ONE = "anysleep-run1"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:9f305c0f81a5\nsize 12763675\n"
QUICK = {"timeout": 1.0, "retries": 2, "backoff": 0.01, "progress": False}


def theirs(state):
    """A state dict of ours under the authors' names."""
    names = {}
    for pattern, ours in authors.NIGHT_NAMES:
        template = pattern.replace(r"(\d+)", r"\1").replace(r"\.", ".")
        ours = re.escape(ours).replace(r"\\1", r"(\d+)")
        names |= {k: re.sub(f"^{ours}", template, k) for k in state if re.match(ours + r"\.\w+$", k)}
    return {names[key]: value for key, value in state.items()}


def checkpoint(network, settings, padding=0):
    """Bytes as the authors saved them, of weights at random, and their state dict."""
    torch.manual_seed(0)
    net = models.build(network, **settings)
    for name, value in net.named_buffers():
        if name.endswith("mean"):
            value.normal_()  # as if it had been trained
    state, file = theirs(net.state_dict()), io.BytesIO()
    torch.save({"state_dict": state, "padding": torch.zeros(padding)}, file)
    return file.getvalue(), state


BODIES = {name: checkpoint(*told) for name, told in NETWORKS.items()}


def publish(path, bodies):
    """A catalogue of these files."""
    rows = {
        name: {"network": NETWORKS[name][0], "size": len(body), "sha256": sha256(body).hexdigest()}
        for name, body in bodies.items()
    }
    common = {"base": "https://example.org/models", "licence": "MIT", "citation": "Grieger (2025)"}
    path.write_text(yaml.safe_dump(common | {"checkpoints": rows}, sort_keys=False))


@pytest.fixture
def server(tmp_path_factory, monkeypatch):
    """A server of these files, and their catalogue."""
    bodies = {name: body for name, (body, _) in BODIES.items()}
    path = tmp_path_factory.mktemp("catalogue") / "weights.yaml"
    publish(path, bodies)
    monkeypatch.setattr(published, "CATALOGUE", path)
    with serving({f"{name}.pth": body for name, body in bodies.items()}) as running:
        yield running


def get(server, out, *names):
    return published.fetch(names or (ONE,), out, server.url, **QUICK)


def fails(server, out):
    """Why the one file was refused; nothing of it was kept."""
    report = get(server, out)
    assert list(report.failed) == [ONE] and not report.fetched and list(out.iterdir()) == []
    return report.failed[ONE]


def send(server, body, listed=True):
    """Have the server send this as the one file, and the catalogue name its size and SHA-256."""
    server.files[f"/{ONE}.pth"] = body
    if listed:
        publish(published.CATALOGUE, {ONE: body})


def test_the_catalogue_has_the_twelve_files_that_the_authors_published():
    found = published.catalogue()
    assert len(found) == 12 and published.DEFAULT in found
    assert {c.network for c in found.values()} == set(models.NIGHT_NETWORKS)
    assert len({c.sha256 for c in found.values()}) == 12
    assert all(re.fullmatch("[0-9a-f]{64}", c.sha256) and 12e6 < c.size < 13e6 for c in found.values())
    address = found["usleep-run2"].origin["source"]["address"]
    assert re.fullmatch(r"https://media\.\S+/dslaborg/AnySleep/[0-9a-f]{40}/models/usleep-run2\.pth", address)


@pytest.mark.parametrize("name", NETWORKS)
def test_our_networks_make_files_of_the_published_size(tmp_path, name):
    """To the byte: the names, shapes and order of the arrays are those of the files that cannot be had here."""
    known = published.catalogue()[name]
    torch.save({"state_dict": theirs(models.build(known.network).state_dict())}, tmp_path / known.file)
    assert (tmp_path / known.file).stat().st_size == known.size


@pytest.mark.parametrize("name", NETWORKS)
def test_fetched_weights_stage_as_the_authors(server, tmp_path, name):
    assert get(server, tmp_path, name).fetched == [name]
    assert {p.name for p in tmp_path.iterdir()} == {f"{name}.safetensors", f"{name}.json"}
    network, (body, state) = weights.load(tmp_path / name), BODIES[name]
    expected = weights.from_authors(NETWORKS[name][0], state)
    x = torch.randn(1, 2, 10 * 3840)
    for per_epoch in (1, 8):
        assert torch.equal(network(x, per_epoch), expected(x, per_epoch))
    card = network.card
    assert card["source"]["sha256"] == sha256(body).hexdigest() and card["source"]["size"] == len(body)
    assert card["source"]["address"] == f"https://example.org/models/{name}.pth"  # whatever the mirror
    assert (card["licence"], card["citation"]) == ("MIT", "Grieger (2025)")
    preparation = network.preparation
    assert (preparation.rate, preparation.scaling, preparation.montage) == (128, "robust-authors", None)
    published.verify(tmp_path / f"{name}.safetensors")


def test_files_come_once_and_damaged_ones_again(server, tmp_path):
    assert get(server, tmp_path, *NETWORKS).fetched == list(NETWORKS)
    assert get(server, tmp_path, *NETWORKS, ONE).already == list(NETWORKS) and len(server.log) == 4
    path = tmp_path / f"{ONE}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SleeplibError, match="SHA-256 differs"):
        published.verify(path)
    (tmp_path / "usleep-run1.json").unlink()
    report = get(server, tmp_path, *NETWORKS)
    assert report.fetched == [ONE, "usleep-run1"] and len(report.already) == 2


def test_a_name_that_nobody_published(server, tmp_path):
    with pytest.raises(
        SleeplibError, match="no published weights are called 'nosuch'; there are anysleep-run1"
    ):
        get(server, tmp_path / "out", ONE, "nosuch")
    assert not server.log and not (tmp_path / "out").exists()


def test_the_wrong_file_is_refused_and_not_opened(server, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("opened"))
    body = BODIES[ONE][0]
    send(server, bytes([body[0] ^ 1]) + body[1:], listed=False)
    assert "another SHA-256 than published; nothing of it was kept" in fails(server, tmp_path)
    send(server, body + b"!", listed=False)
    assert f"{len(body) + 1:,} bytes instead of the published {len(body):,}" in fails(server, tmp_path)
    send(server, body[:1000], listed=False)  # truncated before it was uploaded
    assert "1,000 bytes instead of" in fails(server, tmp_path)
    send(server, POINTER, listed=False)
    assert "git-LFS's pointer" in fails(server, tmp_path)


@pytest.mark.parametrize("act, reason", [("404", "404 Not Found"), ("page", "web page instead of the file")])
def test_what_the_server_does_not_have(server, tmp_path, act, reason):
    server.acts[f"/{ONE}.pth"] = [act]
    assert reason in fails(server, tmp_path)
    assert get(server, tmp_path).fetched == [ONE]


def test_one_that_fails_does_not_keep_the_others(server, tmp_path):
    del server.files[f"/{ONE}.pth"]
    report = get(server, tmp_path, *NETWORKS)
    assert list(report.failed) == [ONE] and len(report.fetched) == 3
    assert report.problems() == [f"{ONE}: the server answered 404 Not Found"]


class Harmful:
    """A pickle that would make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_refused(server, tmp_path):
    made, out = tmp_path / "made", tmp_path / "out"
    for content in ({"state_dict": Harmful(made)}, {"state_dict": BODIES[ONE][1], "more": Harmful(made)}):
        file = io.BytesIO()
        torch.save(content, file)
        for body in (file.getvalue(), pickle.dumps(content, protocol=2)):
            send(server, body)
            assert "so refused" in fails(server, out) and not made.exists()
    pickle.loads(body)
    assert made.exists(), "it would have run"


def test_content_that_is_no_network_is_refused(server, tmp_path):
    state = BODIES[ONE][1]
    cases = [
        ({"state_dict": state | {"x": torch.ones(2)}}, "no place for the authors' x"),
        ({"model": state}, "KeyError"),
        ([state], "TypeError"),
        ({"state_dict": 3}, "TypeError"),
    ]
    for content, reason in cases:
        file = io.BytesIO()
        torch.save(content, file)
        send(server, file.getvalue())
        assert re.search(reason, fails(server, tmp_path))
    for body in (b"no pickle", b"PK\x03\x04 no zip"):
        send(server, body)
        assert "so refused" in fails(server, tmp_path)


def test_other_weights_under_that_name_are_left_alone(server, tmp_path):
    mine = models.build("usleep", depth=2)
    path = weights.save(mine, "usleep", tmp_path / ONE, published.PREPARATION)
    report, before = get(server, tmp_path), path.read_bytes()
    assert "move them away" in report.failed[ONE] and path.read_bytes() == before and not server.log
    with pytest.raises(
        SleeplibError, match="the card's network, source, licence, citation is not as published"
    ):
        published.verify(path)


@pytest.mark.parametrize(
    "key, value", [("licence", "mine"), ("source", {}), ("preparation", {"montage": None, "rate": 128.0})]
)
def test_a_changed_card_is_noticed(server, tmp_path, key, value):
    get(server, tmp_path)
    card = json.loads((tmp_path / f"{ONE}.json").read_text())
    (tmp_path / f"{ONE}.json").write_text(json.dumps(card | {key: value}))
    with pytest.raises(SleeplibError, match=f"the card's {key} is not as published"):
        published.verify(tmp_path / f"{ONE}.safetensors")


def test_the_authors_own_files_are_verified(server, tmp_path):
    path = tmp_path / f"{ONE}.pth"
    for body, reason in (
        (BODIES[ONE][0], ""),
        (BODIES[ONE][0][:-1], "bytes instead of"),
        (POINTER, "git lfs pull"),
    ):
        path.write_bytes(body)
        if not reason:
            published.verify(path)
            continue
        with pytest.raises(SleeplibError, match=reason):
            published.verify(path)
    path.unlink()
    with pytest.raises(SleeplibError, match="missing"):
        published.verify(path)


@pytest.mark.parametrize(
    "script", [["truncate"], ["reset", "500"], ["half-then-stall"], ["truncate", "no-range"]]
)
def test_faults_that_pass(server, tmp_path, script):
    server.acts[f"/{ONE}.pth"] = list(script)
    assert get(server, tmp_path).fetched == [ONE] and len(list(tmp_path.iterdir())) == 2


# A shell's background jobs, and so tests run in one, have SIGINT ignored.
CLIENT = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from sleeplib.models import published
published.CATALOGUE = Path(sys.argv[3])
published.fetch(["anysleep-run1"], sys.argv[2], sys.argv[1], progress=False)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_half_way(server, tmp_path, how):
    body, _ = checkpoint(*NETWORKS[ONE], padding=1 << 21)  # 8 MB
    send(server, body)
    server.acts[f"/{ONE}.pth"] = ["slow"]
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, server.url, tmp_path, published.CATALOGUE], stderr=subprocess.PIPE
    )
    part = tmp_path / f"{ONE}.pth.part"
    while not (part.exists() and part.stat().st_size > 1 << 20):
        assert client.poll() is None
        time.sleep(0.01)
    client.send_signal(how)
    client.communicate(timeout=10)
    had = part.stat().st_size
    assert client.returncode and had < len(body) and not (tmp_path / f"{ONE}.safetensors").exists()
    assert get(server, tmp_path).fetched == [ONE] and len(list(tmp_path.iterdir())) == 2
    assert server.log[-1].start == had and server.log[-1].sent == len(body) - had


def test_killed_while_it_is_converted(server, tmp_path, monkeypatch):
    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(weights, "save", die)
        with pytest.raises(KeyboardInterrupt):
            get(server, tmp_path)
    assert get(server, tmp_path).fetched == [ONE] and len(list(tmp_path.iterdir())) == 2
    assert server.log[-1].status == 416, "not a byte came twice"
