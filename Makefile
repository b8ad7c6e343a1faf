# Every target sets up what it needs (scripts/setup.sh: .venv, locked packages, browser).
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PYTHONUNBUFFERED := 1

.PHONY: help demo test chaos lint bench setup clean
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: setup  ## run all five stages: from breeds to a trained generator
	dvc repro

# As many tests at once as there are cores; who is done takes over tests of the others.
test: lint  ## lint and every test
	OMP_NUM_THREADS=1 python -m pytest -n auto --maxprocesses 4 --dist worksteal

chaos: setup  ## the long tests: killed at random, out of disk, under fire
	OMP_NUM_THREADS=1 python -m pytest -m chaos --durations 0 $(CHAOS)

lint: setup  ## style, formatting, types
	ruff check .
	ruff format --check .
	mypy

bench: setup  ## measurements of bench/, one after the other
	@shopt -s nullglob; for script in bench/*.py; do echo "== $$script"; python "$$script" || exit; done

setup:  ## virtual environment, packages, browser (done once)
	@scripts/setup.sh

clean:  ## remove what tools left; keeps results, runs, downloads and .venv
	rm -rf .mypy_cache .ruff_cache .pytest_cache build
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
