"""Downloads against a server that does everything wrong: no wrong file is accepted, nothing finished comes twice."""

import builtins
import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from hashlib import md5, sha256
from pathlib import Path

import numpy as np
import pytest

from sleeplib.cohorts import downloads, listings, load, names, transfer
from sleeplib.cohorts.downloads import Download, fetch, fetch_split
from sleeplib.cohorts.record import NAME, Record
from sleeplib.errors import SleeplibError
from tests.cohorts.server import serving

BODY = np.random.default_rng(0).bytes(300_000)
FILES = {"night one/a.edf": BODY, "night one/a.txt": b"W W N1\n", "b.edf": BODY[::-1]}
QUICK = {"timeout": 1.0, "retries": 2, "backoff": 0.01, "progress": False}


@pytest.fixture
def server():
    with serving(FILES) as running:
        yield running


def wanted(files=None, hashed=True, **more):
    """The section of a manifest that lists these files."""
    files = FILES if files is None else files
    rows = [{"path": p, "sha256": sha256(body).hexdigest() if hashed else None} for p, body in files.items()]
    return Download(files=tuple(rows), **more)


def get(server, out, download=None, **settings):
    """A run of `fetch`, after which only whole files have their names."""
    settings = QUICK | {"base_url": server.url} | settings
    report = fetch("toy", {"kind": "open"}, download or wanted(), out, **settings)
    for path in report.fetched + report.already:
        assert (out / path).read_bytes() == server.files[f"/{path}"]
    for path in report.failed:
        assert not (out / path).exists()
    return report


def litter(out):
    """Files that are neither a cohort's nor the record."""
    return sorted(
        p.name
        for p in out.rglob("*")
        if p.is_file() and p.name != NAME and not p.name.endswith((".edf", ".txt"))
    )


def test_files_come_once(server, tmp_path):
    first = get(server, tmp_path)
    assert sorted(first.fetched) == sorted(FILES) and not first.failed and not first.unverified
    assert len(server.log) == 3 and litter(tmp_path) == []
    assert sorted(get(server, tmp_path).already) == sorted(FILES)
    assert sorted(get(server, tmp_path, verify=True).already) == sorted(FILES)
    assert len(server.log) == 3, "nothing finished is fetched twice"


def test_finished_files_are_not_even_hashed_again(server, tmp_path, monkeypatch):
    get(server, tmp_path)
    monkeypatch.setattr(downloads.pooch.hashes, "file_hash", lambda *a, **k: pytest.fail("hashed"))
    assert len(get(server, tmp_path).already) == 3
    (tmp_path / NAME).write_text((tmp_path / NAME).read_text()[:-20])  # killed in the act of recording
    monkeypatch.undo()
    assert len(get(server, tmp_path).already) == 3 and len(server.log) == 3
    assert len({json.loads(line)["path"] for line in (tmp_path / NAME).read_text().splitlines()[-1:]}) == 1


@pytest.mark.parametrize(
    "script, requests",
    [
        (["truncate"], 2),
        (["truncate", "truncate"], 3),
        (["stall"], 2),
        (["half-then-stall"], 2),
        (["reset", "500"], 3),
        (["500", "503"], 3),
        (["truncate", "no-range"], 2),
        (["truncate", "other-part"], 3),
        (["wrong"], 2),
        (["truncate", "500", "truncate"], 4),
    ],
)
def test_faults_that_pass(server, tmp_path, script, requests):
    server.acts["/b.edf"] = list(script)
    retries = 3 if requests > 3 else 2
    assert "b.edf" in get(server, tmp_path, retries=retries).fetched and litter(tmp_path) == []
    asked = server.asked("b.edf")
    assert len(asked) == requests
    if script[0] in ("truncate", "half-then-stall") and script[-1] not in ("no-range", "other-part"):
        twice = sum(r.sent for r in asked) - len(BODY)
        assert twice < transfer.CHUNK * len(script), "resumed, not begun again"
        assert all(r.start and r.condition for r in asked[1:])


@pytest.mark.parametrize(
    "act, reason, requests",
    [
        ("404", "404 Not Found", 1),
        ("403", "403 Forbidden", 1),
        ("410", "410 Gone", 1),
        ("500", "500 Internal Server Error, 3 times", 3),
        ("stall", "no byte came for 1 s, 3 times", 3),
        ("reset", "the connection broke, 3 times", 3),
        ("wrong", "twice with another checksum", 2),
        ("page", "a web page instead of the file", 1),
        ("to-page", "a web page instead of the file", 1),
    ],
)
def test_faults_that_stay_do_not_keep_the_others(server, tmp_path, act, reason, requests):
    server.acts["/b.edf"] = [act] * 99
    report = get(server, tmp_path)
    assert list(report.failed) == ["b.edf"] and reason in report.failed["b.edf"] and len(report.fetched) == 2
    assert len(server.asked("b.edf")) == requests and litter(tmp_path) == []
    assert server.url not in str(report.problems()) and "b.edf: " in report.problems()[0]
    server.acts.clear()
    assert get(server, tmp_path).fetched == ["b.edf"]


@pytest.mark.parametrize("hashed", [True, False])
def test_a_run_goes_on_where_the_last_one_gave_up(server, tmp_path, hashed):
    one = wanted({"b.edf": FILES["b.edf"]}, hashed)
    server.acts["/b.edf"] = ["truncate", "500", "500"]
    assert get(server, tmp_path, one, retries=1).failed
    had = (tmp_path / "b.edf.part").stat().st_size
    assert len(BODY) // 2 - transfer.CHUNK < had <= len(BODY) // 2
    assert get(server, tmp_path, one).fetched == ["b.edf"] and litter(tmp_path) == []
    assert server.log[-1].start == had


def test_a_part_of_another_version_is_not_gone_on_with(server, tmp_path):
    """Without a published checksum only the server can tell that a file has changed in between."""
    one = wanted({"b.edf": b""}, hashed=False)
    server.acts["/b.edf"] = ["truncate", "500"]
    get(server, tmp_path, one, retries=0)
    server.files["/b.edf"] = BODY + b"second version"
    assert get(server, tmp_path, one).unverified == ["b.edf"]
    server.tags = False  # and if it cannot tell, a part is worth nothing
    (tmp_path / "b.edf").unlink()
    (tmp_path / NAME).unlink()
    (tmp_path / "b.edf.part").write_bytes(b"from who knows where")
    assert get(server, tmp_path, one).fetched == ["b.edf"] and server.log[-1].start == 0


def test_a_part_that_is_whole_or_too_long(server, tmp_path):
    for part, requests in ((FILES["b.edf"], 1), (BODY + b"more", 2), (BODY[:1000], 3)):
        server.log.clear()
        (tmp_path / "b.edf").unlink(missing_ok=True)
        (tmp_path / "b.edf.part").write_bytes(part)
        assert "b.edf" in get(server, tmp_path).fetched and litter(tmp_path) == []
        assert len(server.asked("b.edf")) == min(requests, 2)


def test_the_server_says_when_to_come_back(server, tmp_path):
    server.acts["/b.edf"] = ["429 1"]
    begun = time.perf_counter()
    assert "b.edf" in get(server, tmp_path).fetched and time.perf_counter() - begun > 1
    assert transfer._seconds("Wed, 01 Jan 2200 00:00:00 GMT") > 3600 and transfer._seconds("soon") == 0.0


def test_without_a_checksum_only_whole_files_count(server, tmp_path):
    one = wanted({"b.edf": b""}, hashed=False)
    server.acts["/b.edf"] = ["no-length"]
    assert "tells no length" in get(server, tmp_path, one).failed["b.edf"]
    server.acts["/b.edf"] = ["truncate", "short-part"]
    report = get(server, tmp_path, one)
    assert report.fetched == report.unverified == ["b.edf"] and "no checksum is published" in str(report)
    assert get(server, tmp_path, one).already == ["b.edf"]
    (tmp_path / "b.edf").write_bytes(BODY)  # later, somebody touches it
    report = fetch("toy", {}, one, tmp_path, base_url=server.url, **QUICK)
    assert "other content than recorded" in report.failed["b.edf"]
    (tmp_path / "b.edf").unlink()
    server.files["/b.edf"] = BODY + b"new"
    assert "recorded at first" in get(server, tmp_path, one).failed["b.edf"]
    assert get(server, tmp_path, one, force=True).fetched == ["b.edf"]


def test_what_the_user_put_there_is_verified_and_left_alone(server, tmp_path):
    (tmp_path / "b.edf").write_bytes(b"mine")
    (tmp_path / "night one").mkdir()
    (tmp_path / "night one/a.edf").write_bytes(BODY)
    report = fetch("toy", {}, wanted(), tmp_path, base_url=server.url, **QUICK)
    assert report.already == ["night one/a.edf"] and "move it away" in report.failed["b.edf"]
    assert (tmp_path / "b.edf").read_bytes() == b"mine" and not server.asked("b.edf")
    assert get(server, tmp_path, force=True).fetched == ["b.edf"]


def test_a_file_that_nobody_can_verify_did_not_come_completely(server, tmp_path):
    (tmp_path / "b.edf").write_bytes(b"<html>half a file</html>")
    files = wanted(hashed=False)
    for _ in range(2):  # what is recorded of it does not make it better
        report = fetch("toy", {}, files, tmp_path, base_url=server.url, only="b.edf", **QUICK)
        assert report.already == report.unverified == report.found == ["b.edf"] and not server.log
        assert "1 of them found here and not verified" in str(report) and "completely" not in str(report)
    report = fetch("toy", {}, files, tmp_path, base_url=server.url, **QUICK)
    assert len(report.unverified) == 3 and report.found == ["b.edf"]
    assert "2 of them unverified" in str(report) and "1 of them found" in str(report)
    os.utime(tmp_path / "night one/a.edf", (1, 1))  # touched, but as it was fetched
    assert fetch("toy", {}, files, tmp_path, base_url=server.url, **QUICK).found == ["b.edf"]
    (tmp_path / "b.edf").unlink()
    report = get(server, tmp_path, files, force=True)
    assert report.fetched == ["b.edf"] and not report.found


def test_our_own_file_is_replaced_when_another_is_published_or_it_has_rotted(server, tmp_path):
    get(server, tmp_path)
    server.files["/b.edf"] = new = BODY[::-1] + b"!"
    files = FILES | {"b.edf": new}
    assert get(server, tmp_path, wanted(files)).fetched == ["b.edf"]
    state = (tmp_path / "b.edf").stat()
    (tmp_path / "b.edf").write_bytes(bytes(len(new)))
    os.utime(tmp_path / "b.edf", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert get(server, tmp_path, wanted(files), verify=True).fetched == ["b.edf"]


def test_a_full_disk_is_told_once_and_what_came_stays(server, tmp_path, monkeypatch):
    def full(path, mode="r", *rest, **more):
        file = builtins.open(path, mode, *rest, **more)  # noqa: SIM115
        if mode == "ab" and str(path).endswith(".part"):
            file.write(BODY[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return file

    monkeypatch.setattr(transfer, "open", full, raising=False)
    report = fetch("toy", {}, wanted({"b.edf": b"", "c.edf": b"", "d.edf": b""}), tmp_path, base_url=server.url,
                   jobs=1, **QUICK)  # fmt: skip
    assert len(report.failed) == 3 and len(report.problems()) == 1 and "no space left" in report.problems()[0]
    assert len(server.log) == 1 and (tmp_path / "b.edf.part").stat().st_size == 10


def test_a_host_that_is_not_there_is_given_up_once(tmp_path):
    with serving({}) as gone:
        pass
    begun = time.perf_counter()
    many = wanted({f"{i}.edf": b"" for i in range(500)})
    report = fetch("toy", {}, many, tmp_path, base_url=gone.url, **QUICK)
    assert len(report.failed) == 500 and "cannot be reached" in report.problems()[0]
    assert time.perf_counter() - begun < 3


# A shell's background jobs, and so tests run in one, have SIGINT ignored.
CLIENT = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from sleeplib.cohorts.downloads import Download, fetch
url, out, files = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
fetch("toy", {}, Download(files=tuple(files)), out, base_url=url, progress=False, jobs=2)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_half_way(tmp_path, how):
    big = np.random.default_rng(1).bytes(8 << 20)
    files = {"small.edf": BODY, "big.edf": big}
    with serving(files) as server:
        server.acts["/big.edf"] = ["slow"]
        rows = json.dumps(wanted(files).files)
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, server.url, tmp_path, rows], stderr=subprocess.PIPE
        )
        part = tmp_path / "big.edf.part"
        while not (part.exists() and part.stat().st_size > 1 << 20 and (tmp_path / NAME).stat().st_size):
            time.sleep(0.01)
        client.send_signal(how)
        begun = time.perf_counter()
        client.communicate(timeout=5)
        assert time.perf_counter() - begun < 2 and client.returncode
        had = part.stat().st_size
        assert not (tmp_path / "big.edf").exists() and had < len(big)
        report = get(server, tmp_path, wanted(files))
        assert report.fetched == ["big.edf"] and report.already == ["small.edf"]
        assert server.log[-1].start == had and server.log[-1].sent == len(big) - had
    assert litter(tmp_path) == []


def test_killed_while_the_checksum_is_taken(server, tmp_path, monkeypatch):
    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads.pooch.core, "hash_matches", die)
    monkeypatch.setattr(downloads.pooch.utils.os, "remove", lambda path: None)  # killed: nobody tidies up
    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path, wanted({"b.edf": FILES["b.edf"]}), jobs=1)
    monkeypatch.undo()
    assert len(litter(tmp_path)) == 3
    assert get(server, tmp_path, wanted({"b.edf": FILES["b.edf"]})).fetched == ["b.edf"]
    assert litter(tmp_path) == [] and server.log[-1].status == 416, "not a byte came twice"


def test_two_runs_keep_out_of_each_others_way(server, tmp_path):
    with Record(tmp_path), pytest.raises(SleeplibError, match="another `sleeplib fetch`"):
        get(server, tmp_path)


def test_only_and_limit(server, tmp_path):
    assert get(server, tmp_path, only="*.txt").fetched == ["night one/a.txt"]
    assert get(server, tmp_path, limit=1).fetched == ["night one/a.edf"]
    with pytest.raises(SleeplibError, match=r"no file matches \*\.wav"):
        get(server, tmp_path, only="*.wav")


def test_lists_of_checksums(server, tmp_path, monkeypatch):
    lines = "# source\n\n" + "".join(f"{sha256(b).hexdigest()} *{p}\n" for p, b in FILES.items())
    server.files["/SHA256SUMS.txt"] = lines.encode()
    sums = Download(sums="SHA256SUMS.txt")
    assert len(get(server, tmp_path / "a", sums).fetched) == 3
    assert len(get(server, tmp_path / "a", sums).already) == 3 and len(server.log) == 4
    monkeypatch.setattr(listings, "MANIFESTS", tmp_path)
    (tmp_path / "toy.txt").write_text(lines)
    assert len(get(server, tmp_path / "b", Download(checksums="toy.txt")).fetched) == 3
    server.files["/SHA256SUMS.txt"] = b"not a list"
    with pytest.raises(SleeplibError, match=r"SHA256SUMS\.txt:1: not a line"):
        get(server, tmp_path / "c", sums)
    with pytest.raises(SleeplibError, match="no such list"):
        get(server, tmp_path / "d", Download(checksums="none.txt"))
    with pytest.raises(SleeplibError, match="list of files: the server answered 404"):
        get(server, tmp_path / "e", Download(sums="none.txt"))


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "..", "", "C:/x", "a\\b", "a\nb", NAME, f"a/{NAME}", "b.edf.part"]
)
def test_no_file_outside_of_the_folder(server, tmp_path, path):
    with pytest.raises(SleeplibError, match=r"not a path inside|needs itself"):
        get(server, tmp_path / "out", wanted({"b.edf": BODY, path: BODY}))
    assert not server.log and [p.name for p in tmp_path.rglob("*") if p.is_file()] == [NAME]


def test_a_file_that_is_listed_twice(server, tmp_path):
    rows = wanted().files
    assert len(get(server, tmp_path, Download(files=rows + rows)).fetched) == 3
    with pytest.raises(SleeplibError, match="listed twice"):
        get(server, tmp_path, Download(files=(*rows, {"path": "b.edf", "sha256": "0" * 64})))


TOKEN = "1234-SeCrEt/token"
EDF = "polysomnography/edfs/visit1/one.edf"


@pytest.fixture
def nsrr(monkeypatch):
    """An archive that lists its files in folders and gives them for a token."""
    monkeypatch.setenv("NSRR_TOKEN", TOKEN)

    def entry(path, body=None):
        sum_ = {"file_checksum_md5": md5(body).hexdigest()} if body else {}
        return {"full_path": path, "file_name": Path(path).name, "is_file": body is not None, **sum_}

    api, at = "api/v1/datasets/toy/files.json?path=", f"datasets/toy/files/a/{TOKEN}/m/sleeplib/"
    folders = {
        "polysomnography/edfs": [entry("polysomnography/edfs/visit1")],
        "polysomnography/edfs/visit1": [entry(EDF, BODY)],
        "datasets": [entry("datasets/toy.csv", b"age\n70\n")],
    }
    files = {api + folder: json.dumps(entries).encode() for folder, entries in folders.items()}
    with serving(files | {at + EDF: BODY, f"{at}datasets/toy.csv": b"age\n70\n"}) as server:
        server.at, server.api = f"/{at}", f"/{api}"
        yield server


def ask_nsrr(server, out, **settings):
    access = {"kind": "token", "page": "https://sleepdata.org/datasets/toy", "how": "Ask."}
    download = Download(nsrr="toy", folders=("polysomnography/edfs", "datasets"))
    return fetch("toy", access, download, out, **(QUICK | {"base_url": server.url} | settings))


def test_the_token_opens_and_is_never_shown(nsrr, tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "pooch"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    nsrr.acts[nsrr.at + EDF] = ["reset", "truncate", "404"]
    reports = [ask_nsrr(nsrr, tmp_path, progress=True), ask_nsrr(nsrr, tmp_path, progress=True)]
    assert reports[0].fetched == ["datasets/toy.csv"] and reports[1].fetched == [EDF]
    assert (tmp_path / EDF).read_bytes() == BODY and not reports[1].unverified
    nsrr.acts[nsrr.at + EDF] = ["to-page"]
    (tmp_path / EDF).unlink()
    reports.append(ask_nsrr(nsrr, tmp_path))
    assert "the token in NSRR_TOKEN was refused" in reports[-1].failed[EDF]
    shown = "".join([*capfd.readouterr(), caplog.text, repr(reports), *map(str, reports)])
    stored = b"".join(p.read_bytes() + str(p).encode() for p in tmp_path.rglob("*") if p.is_file())
    assert "GET /datasets/toy/files/a/$NSRR_TOKEN/m" in caplog.text
    assert not re.search("SeCrEt", shown) and b"SeCrEt" not in stored
    entries = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines() if line]
    assert {e["verified"][:4] for e in entries} == {"md5:"} and all(len(e["sha256"]) == 64 for e in entries)


def test_a_refused_token_ends_the_run(nsrr, tmp_path):
    for path in (EDF, "datasets/toy.csv"):
        nsrr.acts[nsrr.at + path] = ["to-page"] * 9
    report = ask_nsrr(nsrr, tmp_path, jobs=1)
    assert len(report.failed) == 2 and len(report.problems()) == 1 and "no access" in report.problems()[0]
    assert len([r for r in nsrr.log if r.path.startswith(nsrr.at)]) == 1


def test_a_missing_token_is_explained_and_what_is_there_is_verified(nsrr, tmp_path, monkeypatch):
    monkeypatch.delenv("NSRR_TOKEN")
    with pytest.raises(SleeplibError, match=r"sleepdata.org/datasets/toy, copy your token .*NSRR_TOKEN"):
        ask_nsrr(nsrr, tmp_path / "none")
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/toy.csv").write_bytes(b"age\n70\n")
    report = ask_nsrr(nsrr, tmp_path)
    assert report.already == ["datasets/toy.csv"] and report.missing == [EDF] and "token" in report.note


@pytest.mark.parametrize("answer", [b"{", b"[]", b"[1]", b"3", b'[{"full_path": "../x", "is_file": true}]',
                                    b'[{"full_path": "elsewhere/x", "is_file": false}]'])  # fmt: skip
def test_a_strange_listing(nsrr, tmp_path, answer):
    nsrr.files[nsrr.api + "datasets"] = answer
    with pytest.raises(SleeplibError, match="toy/datasets"):
        ask_nsrr(nsrr, tmp_path)


def test_restricted_cohorts_are_explained_and_verified(tmp_path, monkeypatch):
    access = {"kind": "agreement", "page": "https://example.org", "how": "Apply there."}
    report = fetch("mass", access, None, tmp_path / "mass", **QUICK)
    assert all(
        words in str(report) for words in ("https://example.org", "Apply there.", str(tmp_path / "mass"))
    )
    monkeypatch.setattr(listings, "MANIFESTS", tmp_path)
    (tmp_path / "toy.txt").write_text("".join(f"{sha256(b).hexdigest()}  {p}\n" for p, b in FILES.items()))
    (tmp_path / "night one").mkdir()
    (tmp_path / "night one/a.edf").write_bytes(BODY)
    (tmp_path / "b.edf").write_bytes(b"half")
    report = fetch("mass", access, Download(checksums="toy.txt"), tmp_path, force=True, **QUICK)
    assert report.already == ["night one/a.edf"] and report.missing == ["night one/a.txt"]
    assert "move it away" in report.failed["b.edf"] and "--force" not in report.failed["b.edf"]


def test_simulated_cohorts_are_not_fetched(tmp_path):
    with pytest.raises(SleeplibError, match="sleeplib simulate embedded"):
        fetch("embedded", {"kind": "simulated"}, None, tmp_path)


def test_a_manifests_section():
    made = Download.from_manifest(
        {"nsrr": "shhs", "folders": ["datasets"], "published": "MD5 in the listing"}
    )
    assert made == Download(nsrr="shhs", folders=("datasets",))
    assert Download.from_manifest({"published": "none"}) is None


@pytest.mark.parametrize("name, lines", [("dcsm", 510), ("phys", 2982), ("sedf-sc", 306), ("sedf-st", 88)])
def test_published_checksums_are_all_there(name, lines):
    rows = listings._sums(listings.MANIFESTS / f"checksums/{name}.txt")
    assert len({listings._safe(path, name) for path, _, _ in rows}) == len(rows) == lines


@pytest.mark.parametrize("name", names())
def test_every_manifest_has_a_list_of_files_or_says_why_not(name):
    manifest = load(name)
    download = Download.from_manifest(manifest.download)
    if not download:
        assert manifest.access["how"]
    elif not (download.nsrr or download.sums):
        items = listings.items(download, None, transfer.Line(), pytest.fail)
        assert len(items) >= (manifest.persons or 1)
        assert all(re.match(r"https?://[\w.-]+/[\w./-]+$", item.url) for item in items)


def test_archives_are_left_to_the_user(tmp_path):
    with serving({f"{i}.rar": BODY for i in (9, 10)}) as server:
        access = {"kind": "open", "how": "unpack each where it lies"}
        report = fetch(
            "toy", access, Download(base=server.url, files=({"path": "{9..10}.rar"},)), tmp_path, **QUICK
        )
    assert report.fetched == report.unverified == ["9.rar", "10.rar"] and "unpack each" in str(report)


def test_splits_come_by_the_same_way(tmp_path, shared):
    published = {"usleep": "usleep_split.yaml", "seqsleepnet": "data_split_eval.mat"}
    files = {n: next((shared / "reference/vectors").rglob(n)).read_bytes() for n in published.values()}
    with serving(files) as server:
        server.acts["/usleep_split.yaml"] = ["truncate"]
        for split, file in published.items():
            path = fetch_split(split, tmp_path, server.url, **QUICK)
            assert path == tmp_path / file and path.read_bytes() == files[file]
        server.files["/usleep_split.yaml"] += b"#"
        with pytest.raises(SleeplibError, match="another checksum than published"):
            fetch_split("usleep", tmp_path / "b", server.url, **QUICK)
    with pytest.raises(SleeplibError, match="known: usleep, seqsleepnet"):
        fetch_split("nosuch", tmp_path)
