# make help lists the targets. Everything is installed into .venv, nothing outside it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Two workers that take whole files, in their order: what a file makes once is made once.
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help demo torch jax test test-fast gpu-check lint format bench quality soak dist versions docs docs-test clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.bench ## one billion weights into a tf.Variable (ARGS="--params 2e8 --dtype bfloat16")
	@$(BIN)/python -m philinit demo $(ARGS)

torch: $(VENV)/.dev $(VENV)/.torch-test ## PyTorch into .venv, so that its tests run rather than skip

jax: $(VENV)/.dev $(VENV)/.jax-test ## Flax, Haiku and Equinox into .venv, likewise

test: $(VENV)/.dev ## tests/, and each benchmark once, untimed (ARGS="-k name", ARGS="-n 0")
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-fast: $(VENV)/.dev ## for the edit loop, < 2 min: no exhaustive tests, clusters, CUDA on the host
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not gpu" tests $(ARGS)

gpu-check: $(VENV)/.dev ## where there is a GPU: self-test, tests, sanitizers, benchmark; < 9 min, into build/gpu-check
	@$(BIN)/python -m tests.gpu.check $(ARGS)

lint: $(VENV)/.dev ## ruff format --check, ruff check, mypy --strict on what is shipped
	@echo "ruff"; $(BIN)/ruff format --check . && $(BIN)/ruff check .
	@# mypy follows no editable install: it reads the package as a wheel would lay it out.
	@# build/lib goes first, because setuptools would ship modules that were since deleted.
	@echo "mypy --strict"; rm -rf build/lib build/bdist.* build/typecheck
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --target build/typecheck .
	@MYPYPATH=build/typecheck $(BIN)/mypy --strict -p philinit \
		| sed -e 's#build/typecheck/philinit/kernels/#kernels/#; s#build/typecheck/#src/#'
	@MYPYPATH=build/typecheck:benchmarks $(BIN)/mypy --strict --explicit-package-bases benchmarks

format: $(VENV)/.dev ## ruff rewrites what it can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## all contenders on all workloads, tables and pictures; < 15 min (ARGS="--quick": < 1)
	@$(BIN)/python benchmarks/suite.py $(ARGS)

quality: $(VENV)/.dev ## statistics of 2^30 weights of each kind, into build/quality.json and .md (ARGS="--log2 26")
	@$(BIN)/python -m tests.hardening.quality $(ARGS)

soak: $(VENV)/.dev ## an hour of random calls by 8 threads, checked; into build/soak.json (ARGS="--minutes 3")
	@$(BIN)/python -m tests.hardening.soak $(ARGS)

dist: $(VENV)/.dev $(VENV)/.release ## wheel and sdist of the last commit in dist/, built twice, checked, installed elsewhere
	@$(BIN)/python -m tests.release.dist dist
	@$(BIN)/python -m pytest -q tests/release

versions: $(VENV)/.release ## tests with the lowest and highest versions of what is needed, by uv (ARGS="lowest 3.13")
	@$(BIN)/python -m tests.release.versions $(ARGS)

docs: $(VENV)/.docs ## the pages of docs/ and the reference, in build/docs; a warning is an error
	@rm -rf build/docs && $(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --fresh-env -b html -d build/doctrees \
		docs build/docs
	@echo "written: build/docs/index.html"

docs-test: $(VENV)/.docs-test ## the pages in a headless Chromium: links, errors, widths, search; < 2 min
	@$(BIN)/python -m pytest tests/docs/test_browser.py $(ARGS)

clean: ## remove build products and caches, keep .venv
	@rm -rf build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	@find src kernels tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv
	@rm -rf $(VENV)

$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { echo "make: no '$(PYTHON)' on PATH: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
		f"make: philinit needs Python 3.11 or newer; {sys.executable} is {v[0]}.{v[1]}: make PYTHON=/path/to/python3.11")'
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

# A stamp for each extra: the demo need not wait for linters.
$(VENV)/.bench $(VENV)/.dev $(VENV)/.docs $(VENV)/.docs-test $(VENV)/.torch-test $(VENV)/.jax-test $(VENV)/.release: $(VENV)/.%: pyproject.toml setup.cfg | $(BIN)/python
	@echo "installing philinit[$*] into $(VENV) (once; TensorFlow for the CPU is some 300 MB)"
	@PYTHONWARNINGS="ignore:Editable installation" \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch $@
