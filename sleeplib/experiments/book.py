"""The book: a mirror of the repository with executed notebooks in it, and Jupyter Book on top."""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

from sleeplib.errors import SleeplibError
from sleeplib.experiments.notebooks import repository
from sleeplib.provenance import root
from sleeplib.results import build_folder

# Jupyter Book wants these at the root of its source; a `_static` there would land on every page.
AT_THE_ROOT = ("_config.yml", "_toc.yml", "references.bib")
COHORTS = "book/cohorts"  # a page that is written from the manifests
SCORES = "book/how_good_is_a_stager"  # a chapter that includes `metrics.txt`, written from the registry
MATHJAX = ("tex-mml-chtml.js", "output/chtml/fonts/woff-v2")  # 1.6 MB of the package's 24


def stage_book(book=None) -> Path:
    """Make `src` in the build folder what Jupyter Book is to see; unchanged files are left alone.

    The tree mirrors the repository: `book/`, the executed `notebooks/`, and `sleeplib/` for the chapters that
    quote code. Jupyter Book derives the Colab, Binder and edit links of a page from its place in the tree.

    Raises
    ------
    SleeplibError
        If a notebook of the table of contents has not been run.
    """
    book = Path(book or root() / "book")
    source = build_folder() / "src"
    wanted = {source / name: (book / name).read_bytes() for name in AT_THE_ROOT}
    wanted[source / "_config.yml"] = _config(book / "_config.yml")
    wanted |= _tree(book, source / "book", leave=AT_THE_ROOT)
    if COHORTS in _pages(book):
        wanted[source / f"{COHORTS}.md"] = cohorts_page().encode()
    if SCORES in _pages(book):
        wanted[source / "book" / "metrics.txt"] = metrics_table().encode()
    wanted |= _tree(root() / "sleeplib", source / "sleeplib", suffix=".py")
    wanted |= {
        source / f"{page}.ipynb": _executed(page) for page in _pages(book) if page.startswith("notebooks/")
    }
    wanted |= _mathjax(source / "book" / "_vendor" / "mathjax")
    for path in source.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()
    for path, content in wanted.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return source


def build_book(book=None) -> Path:
    """Build the pages into `html` of the build folder unless nothing changed; print and return the first.

    Each warning (a broken link, citation, term or image) is an error; the earlier pages stay then.

    Raises
    ------
    SleeplibError
        If the build fails; Jupyter Book has printed why.
    """
    source, build = stage_book(book), build_folder()
    html, stamp = build / "html", build / "html.digest"
    first, digest = html / f"{_pages(source)[0]}.html", _digest(source)
    if not (first.exists() and stamp.exists() and stamp.read_text() == digest):
        door = Path(sys.executable).with_name("jupyter-book")
        strict = ("-W", "-n", "--keep-going", "-q")
        # From nothing: Sphinx tells a page's warnings only when it reads the page, and would forget them next time.
        shutil.rmtree(build / "_build", ignore_errors=True)
        command = [door, "build", *strict, "--path-output", build, source]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:  # warnings go to stderr
            raise SleeplibError(f"{source}: the book was not built; the messages above say why")
        shutil.rmtree(html, ignore_errors=True)
        (build / "_build" / "html").replace(html)
        stamp.write_text(digest)
    print(f"The book is ready. Its first page:\n{first}")
    return first


def cohorts_page() -> str:
    """The page of the cohorts in MyST: a table of all, and each told whole, from nothing but `data_manifests/`."""
    from sleeplib import cohorts

    manifests = [cohorts.load(name) for name in cohorts.names()]
    parts = [_PREFACE.format(n=len(manifests)), _table(cohorts.table(manifests).drop(columns="title"))]
    for kind, heading in _ACCESS.items():
        parts.append(f"## {heading}")
        for m in manifests:
            if m.access.get("kind") == kind:
                parts += [f"(cohort-{m.name})=\n### {m.title}", f"Manifest: `{m.name}`"]
                parts += [f"{term}\n: {_told(term, text)}" for term, text in cohorts.facts(m).items()]
                parts += ["What to know before using it:"] if m.quirks else []
                parts += ["\n".join(f"- {quirk}" for quirk in m.quirks)]
    return "\n\n".join(filter(None, parts)) + "\n"


_PREFACE = """\
---
html_theme.sidebar_secondary.remove: true
---

# Cohorts

The {n} cohorts that have a manifest, as `sleeplib cohorts` and `sleeplib cohorts NAME` tell them. This page is written
from `data_manifests/` when the book is built; nothing on it is typed by hand. How to get them, and which of these facts
nobody here has seen in a real file, is told in {{doc}}`real_nights`.

EEG and EOG are numbers of harmonised channels, Hz their rates. Arousals, and ages with sexes, are there or not."""
_ACCESS = {
    "open": "Open",
    "token": "With a token of the National Sleep Research Resource",
    "agreement": "On application",
    "simulated": "Simulated",
}


def metrics_table() -> str:
    """The registry of metrics as a table in Markdown."""
    from sleeplib.analysis import metrics

    frame = metrics.describe()
    rows = ([row[0].replace("_", " "), *row[1:]] for row in frame.itertuples())
    return _markdown(["name", *frame.columns], rows) + "\n"


def _table(frame) -> str:
    """A table in Markdown whose first column links to the cohorts' sections."""
    frame = frame.assign(Hz=frame["Hz"].str.replace("/", ", "))  # so that the column may be narrow
    rows = ([f"[{row[0]}](#cohort-{row[0]})", *row[1:]] for row in frame.itertuples(index=False))
    return _markdown(frame.columns, rows)


def _markdown(heading, rows) -> str:
    """Rows under their heading as a table in Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _told(term: str, text: str) -> str:
    """A fact with its paths as code and its DOI as a link."""
    if term in ("files", "hypnogram"):
        where, semicolon, rest = text.partition("; ")
        paths = where.split(" or ") if where[:3] != "in " else []
        return (" or ".join(f"`{path}`" for path in paths) or where) + semicolon + rest
    return re.sub(r"doi:(\S+)", r"doi: [\1](https://doi.org/\1)", text)


def _config(path: Path) -> bytes:
    """`_config.yml` with the repository's address."""
    import yaml

    config = yaml.safe_load(path.read_text())
    config["repository"] = config.get("repository", {}) | {"url": repository()}
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode()


def _pages(book: Path) -> list[str]:
    """Every page in `_toc.yml`, in order."""
    import yaml

    def walk(node):
        """Pages of a part of the tree, depth first."""
        if isinstance(node, dict):
            yield from (value for key, value in node.items() if key in ("root", "file"))
            yield from (page for value in node.values() for page in walk(value))
        elif isinstance(node, list):
            yield from (page for item in node for page in walk(item))

    return list(walk(yaml.safe_load((book / "_toc.yml").read_text())))


def _tree(folder: Path, target: Path, suffix: str = "", leave=()) -> dict[Path, bytes]:
    """Contents of a folder's files under their place in `target`."""
    paths = [path for path in folder.rglob(f"*{suffix}") if path.is_file() and path.name not in leave]
    return {target / path.relative_to(folder): path.read_bytes() for path in paths}


def _executed(page: str) -> bytes:
    path = build_folder() / f"{page}.ipynb"
    if not path.exists():
        raise SleeplibError(f"{path}: this notebook has not been run; run `sleeplib run {path.stem}` first")
    return path.read_bytes()


def _mathjax(target: Path) -> dict[Path, bytes]:
    """MathJax out of an installed package: the pages load nothing from the network."""
    mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    script, fonts = MATHJAX
    return {target / script: (mathjax / script).read_bytes()} | _tree(mathjax / fonts, target / fonts)


def _digest(source: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(source)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
