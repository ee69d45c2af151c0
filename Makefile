# make demo     a first look, on real patches
# make test     the suite                          (TORCH=0: without torch)
# make check    everything a change has to pass
# make prove    long runs that prove a claim at scale
# make bench    the measurements quoted in the docs
# make gpu      the tests and measurements that need a CUDA GPU, in the environment of $(PYTHON), which it leaves as it is
# make gpu-wheels  what make gpu needs besides, into wheels/, for a machine without a network
# make docs     the site, in site/
# make clean    removes what these made
#
# demo, test, check, prove, bench and docs install what they need in .venv, with $(PYTHON).

PYTHON ?= python3
TORCH ?= 1
export TORCH

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Modules whose examples need torch.
ifeq ($(TORCH),0)
WITHOUT_TORCH := --ignore=bigearth_xr/torch --ignore=bigearth_xr/learn --ignore=bigearth_xr/accessor/dataarray.py
endif
ENVIRONMENT := $(VENV)/dev-torch-$(TORCH)

GPU_PYTHON_VERSION ?= 3.12
GPU_SITE := .gpu
# What our own package is built with, for its entry points.
GPU_BUILD := hatchling packaging pathspec pluggy tomlkit trove-classifiers
GPU_PATH := $(CURDIR)/$(GPU_SITE):$(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

.PHONY: demo test check prove gpu gpu-wheels bench docs clean FORCE
.NOTPARALLEL:

demo: $(VENV)/demo-torch-$(TORCH)
	$(BIN)/bigearth demo

test: $(ENVIRONMENT)
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(ENVIRONMENT)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet --doctest-modules $(WITHOUT_TORCH) bigearth_xr stac/bigearth_stac
	$(MAKE) docs
	$(BIN)/python -m pytest --quiet -m wheel
	$(MAKE) test

prove: $(ENVIRONMENT)
	$(BIN)/python -m pytest -m prove

# Only the files with such tests are collected: the others import what the suite on a CPU installs.
gpu: $(if $(wildcard wheels/*.whl),$(GPU_SITE)/installed)
	PYTHONPATH=$(GPU_PATH) $(PYTHON) -m pytest -m gpu $(shell grep -l 'mark\.gpu' tests/test_*.py)
	PYTHONPATH=$(GPU_PATH) $(PYTHON) -m benchmarks.fused_gpu

# For the Python that GPU images have, on Linux; give GPU_PYTHON_VERSION for another.
gpu-wheels:
	rm -rf wheels
	$(PYTHON) -m pip download --quiet --disable-pip-version-check --dest wheels --no-deps --only-binary=:all: \
		--python-version $(GPU_PYTHON_VERSION) --implementation cp \
		$(foreach glibc,17 24 27 28,--platform manylinux_2_$(glibc)_x86_64) --platform manylinux2014_x86_64 \
		--requirement gpu-requirements.txt $(GPU_BUILD)
	du -sh wheels

bench: $(ENVIRONMENT)
	$(BIN)/python -m benchmarks

docs: $(ENVIRONMENT)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) $(GPU_SITE) wheels site dist build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# In a folder of its own, as the environment is not ours. Our own package is installed for its entry points; its code is
# read from here.
$(GPU_SITE)/installed: gpu-requirements.txt pyproject.toml $(wildcard wheels/*.whl)
	rm -rf $(GPU_SITE)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-index --find-links wheels --no-deps \
		--target $(GPU_SITE) --requirement gpu-requirements.txt .
	rm -rf $(GPU_SITE)/bigearth_xr $(GPU_SITE)/bigearth_stac
	@touch $@

# Environments. A stamp in .venv says that its extras are installed, so that a second run installs nothing.

$(VENV)/demo-torch-1: $(VENV)/interpreter pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[sample,stac,torch]'
	@touch $@

$(VENV)/demo-torch-0: $(VENV)/interpreter pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[sample,stac]'
	@touch $@

$(VENV)/dev-torch-1: $(VENV)/interpreter pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[dev,geo,sample,stac,torch,train]'
	@rm -f $(VENV)/dev-torch-*
	@touch $@

$(VENV)/dev-torch-0: $(VENV)/interpreter pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[dev,geo,sample,stac]'
	@rm -f $(VENV)/dev-torch-*
	@if $(BIN)/python -m pip show --quiet torch 2>/dev/null; then $(BIN)/python -m pip uninstall --quiet --yes torch; fi
	@touch $@

# Holds the path of the interpreter that .venv was made with. The file changes only when the interpreter does, and .venv
# is then made anew.
REAL_PYTHON = import os, sys; \
	sys.version_info >= (3, 11) or sys.exit(f"{sys.executable} is Python {sys.version.split()[0]}; bigearth-xr needs 3.11 or newer: make PYTHON=..."); \
	print(os.path.realpath(sys.executable))

$(VENV)/interpreter: FORCE
	@python=$$($(PYTHON) -c '$(REAL_PYTHON)') && \
	if [ "$$python" != "$$(cat $@ 2>/dev/null)" ]; then \
		rm -rf $(VENV) && "$$python" -m venv $(VENV) && echo "$$python" > $@; \
	fi
