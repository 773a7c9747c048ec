# One command each. `make` alone says what there is.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo demo-language test test-all lint type layers house border numerics differential bench docs site evidence setup clean

help:
	@echo "make demo     train PPO on CartPole, film it and write its report"
	@echo "make demo-language     teach a small language model arithmetic by reward: GRPO, before and after"
	@echo "make test     the suite, with lint, types and layers"
	@echo "make test-all every case of it, as continuous integration runs it"
	@echo "make lint | type | layers | house | border | numerics | differential | bench | docs | site | evidence"

# The package with its core dependencies, pinned.
$(BIN)/.core: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): about a minute the first time."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "operant needs Python 3.11 or newer; call make PYTHON=python3.12, say." && exit 1)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt "torch==$(shell sed -n 's/^torch==//p' constraints.txt)"
	@$(PIP) install -c constraints.txt -e .
	@touch $@

# What language models need.
$(BIN)/.language: $(BIN)/.core
	@$(PIP) install -c constraints.txt -e ".[language]"
	@touch $@

# The tools of development, the simulators of the tests, and the peers of the benches.
$(BIN)/.dev: $(BIN)/.core
	@$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $@

$(BIN)/.bench: $(BIN)/.dev
	@$(PIP) install -c constraints.txt -e ".[bench]"
	@touch $@

setup: $(BIN)/.dev

demo: $(BIN)/.core
	@$(BIN)/operant train ppo CartPole-v1

demo-language: $(BIN)/.language
	@$(BIN)/operant train grpo arithmetic

lint: $(BIN)/.dev
	$(BIN)/ruff check src tests bench docs
	$(BIN)/ruff format --check src tests bench docs

type: $(BIN)/.dev
	$(BIN)/basedpyright

layers: $(BIN)/.dev
	$(BIN)/lint-imports --no-cache

# The numerical tests under the kernels of other processors (OpenBLAS, ATen, Numba).
numerics: $(BIN)/.dev
	$(BIN)/python tests/numerics.py

# What strangers, broken files and careless callers may bring: kinds, pairs of mechanism and entry point, held, failed.
border: $(BIN)/.dev
	$(BIN)/python tests/border/count.py

# One training by Stable-Baselines3's own code and by ours; the peer has an environment of its own, in .bench-peers.
differential: $(BIN)/.dev
	$(BIN)/python bench/_peers.py
	$(BIN)/python -m pytest -rs tests/differential

house: $(BIN)/.dev
	$(BIN)/python tests/house/bars.py

test: $(BIN)/.dev lint type layers
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 15

# Every case of the tests of which `make test` runs some.
test-all: $(BIN)/.dev lint type layers
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 15 --every-case

# The documentation as a site with search, from the pages and the docstrings; a link that leads nowhere is an error.
site: $(BIN)/.dev
	$(BIN)/sphinx-build -q -W --keep-going -b html docs site
	@echo "site/index.html"

docs: $(BIN)/.dev
	$(BIN)/python docs/check.py

bench: $(BIN)/.bench
	$(BIN)/python bench/ppo_vs_sb3.py

evidence: $(BIN)/.dev
	$(BIN)/python docs/evidence/regenerate.py
	$(BIN)/python docs/evidence/language.py
	$(BIN)/python docs/evidence/small_base.py
	$(BIN)/python docs/evidence/on_policy.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
