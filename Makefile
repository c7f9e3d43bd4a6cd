# Two commands: `make book` and `make test`. The rest are their parts; `make help` lists them.
#
#   PROFILE  smoke (seconds), demo (a laptop, the default) or paper (a GPU and the real cohorts)
#   JOBS     notebooks that run side by side (2 by default; one takes 4 GB of memory, the others 1 or 2)
#   NIGHTS   a folder of real nights (.npz with x, y, fs): `make book NIGHTS=../sleep-edf` trains on them too
#   PYTHON   Python 3.11 or newer; found by itself where it has one of the usual names

PROFILE ?= demo
JOBS ?= 2
NIGHTS ?=
BIN := .venv/bin
# A name on the PATH may be a shim that cannot run, and some systems ship Python without venv: so try each.
find-python = for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done
PYTHON ?= $(shell $(find-python))

.PHONY: book test env notebooks html pair lint clean help
.DELETE_ON_ERROR:

book: notebooks ## run the experiments and build the book; ends with the path of its first page
html: env ## the pages alone, from notebooks that have been run
book html:
	@$(BIN)/python -m sleeplib.experiments book

test: lint ## everything that is tested
	$(BIN)/python -m pytest

env: .venv/.installed ## the virtual environment, at the versions in constraints.txt

notebooks: env ## run the notebooks; those that nothing changed for are skipped
	@$(BIN)/sleeplib run --profile $(PROFILE) --jobs $(JOBS) $(if $(NIGHTS),--set folder=$(abspath $(NIGHTS)))

pair: env ## bring each .ipynb in step with its .py
	@$(BIN)/python -m sleeplib.experiments pair

lint: env ## style and layout of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean: ## delete what was built; the environment and the data stay
	rm -rf _build .pytest_cache .ruff_cache .hypothesis .import_linter_cache

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt install python3-venv); name it with: make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; name a newer one with: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Installing the environment into .venv (one to two minutes, 2.2 GB)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[book,test]'
	@touch $@
