# Everything starts here. Each target first sets up what it needs (once), so `git clone` and `make demo` are enough.
# A step of the set-up is done when its stamp file `.ready` exists; it is written last, so a step that was cut off runs again.

VENV := .venv
BIN := $(VENV)/bin
READY := .solcx/.ready
EXTRAS := $(VENV)/.extras-ready
SOLIDITY := 'contracts/**/*.sol'

# Settings of another project must not leak in. The virtual environment brings its own (tools/venv_paths.py).
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV SOLCX_BINARY_PATH
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-pin test test-extended test-all check format bench soak mutate fuzz prove setup clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## a real model answers paid requests on a local chain: deploy, ask, pay, and the books
	@$(BIN)/ape run demo

demo-pin: $(READY) ## one pinner keeps a model and is paid, another deletes it and is not
	@$(BIN)/ape run demo_pin

test: $(READY) ## every test that needs no more than this repository
	@$(BIN)/ape test

test-extended: $(READY) $(EXTRAS) ## what `make test` leaves out, with all extras installed; a skip that tests/allowed_skips.toml does not explain is a failure
	@PYTHONPATH=tests/plugins $(BIN)/ape test -p allowed_skips -m extended

test-all: $(READY) $(EXTRAS) ## every test there is, in one run, as strict
	@PYTHONPATH=tests/plugins $(BIN)/ape test -p allowed_skips -m ""

check: $(READY) ## lint, formatting, types, slither, contract sizes, boundaries between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	node_modules/.bin/prettier --log-level warn --check $(SOLIDITY)
	node_modules/.bin/solhint --noPoster --disc --max-warnings 0 $(SOLIDITY)
	$(BIN)/python tools/static_analysis.py
	$(BIN)/ape compile --force
	$(BIN)/python tools/contract_sizes.py
	$(BIN)/pytest --quiet -p no:ape_test tests/test_boundaries.py

format: $(READY) ## write Python and Solidity the way `make check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	node_modules/.bin/prettier --log-level warn --write $(SOLIDITY)

bench: $(READY) ## every benchmarks/bench_*.py; the figures go to benchmarks/results
	@for file in $(wildcard benchmarks/bench_*.py); do echo "$$file"; $(BIN)/python "$$file" || exit 1; done

soak: $(READY) ## MINUTES=10 SEED=n: random faults and kills on real processes, then the chain says that nothing was lost
	@nice $(BIN)/python benchmarks/soak.py --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

mutate: $(READY) ## SEED=1 N=200: random changes of the contracts that move money; nine of ten must fail a test
	@nice $(BIN)/python tools/mutation/run.py --seed $(or $(SEED),1) --number $(or $(N),200)

fuzz: $(READY) ## SEED=n: 10,000 arguments for each property, 1,000 x 100 and 100,000 random steps of the economy
	@nice $(BIN)/python tools/fuzz.py $(if $(SEED),--seed $(SEED))

prove: $(READY) ## Halmos proves the ledger, the split of earnings and the packed words, for all arguments within stated bounds
	@nice $(BIN)/python tools/prove.py

setup: $(READY) ## only the set-up, for those who then run ape, pytest or lattice by hand

clean: ## remove what the set-up, the compiler and the tests made; keeps .lattice (your keys and jobs)
	rm -rf $(VENV) .venv-prove node_modules .solcx .setup .build contracts/.cache build dist *.egg-info
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The set-up: Python packages, then npm packages, then the compiler. `make PYTHON=/path/to/python3.12 ...` chooses a Python.
$(VENV)/.ready: pyproject.toml constraints.txt tools/set_up.py tools/venv_paths.py
	@python=$$(tools/find-python $(PYTHON)) && "$$python" tools/set_up.py python

$(EXTRAS): $(VENV)/.ready
	@$(BIN)/python tools/set_up.py extras

node_modules/.ready: package.json package-lock.json $(VENV)/.ready
	@$(BIN)/python tools/set_up.py npm

$(READY): node_modules/.ready
	@SOLCX_BINARY_PATH='$(SOLCX_BINARY_PATH)' $(BIN)/python tools/set_up.py compiler
