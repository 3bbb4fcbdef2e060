# Two commands from a fresh clone: `make table1` and `make test`. Each sets up what it needs.

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
	$$python -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
PRESET ?= tiny
TABLE ?= table1
WORKERS ?= 2
UV ?= uv
ARGS ?=

PARP := parp-table1 parp-table2 parp-table3 $(foreach number,1 2 3 4 5 6 7,parp-figure$(number))
NNLM := nnlm-table1 $(foreach number,1 2 3 4 5,nnlm-figure$(number))
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup pins test test-slow gpu-check lint table1 table2 figure2 claims $(PARP) parp-claims parp $(NNLM) nnlm-claims nnlm report bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9 -]+:.*## / { split($$1, names, " "); for (i in names) printf "  %-12s %s\n", names[i], $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(INSTALLED) ## Make the virtual environment with the pinned packages (about 5 GB)

$(INSTALLED): requirements.txt pyproject.toml
	@$(or $(PYTHON),false) -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
		{ echo "prune-bench needs Python 3.11, 3.12 or 3.13 with venv; name one: make setup PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Installing the pinned packages into $(VENV): about 5 GB, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@

pins: ## Write requirements.txt again with uv (ARGS="--upgrade-package NAME" raises one pin)
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --only-binary :all: --generate-hashes \
		--no-annotate --no-config --custom-compile-command "make pins" --quiet --output-file requirements.txt $(ARGS)

test: setup ## Run the tests, without the slow ones
	$(BIN)/python -m pytest -q -n $(WORKERS) $(ARGS)

test-slow: setup ## Run the slow tests only
	$(BIN)/python -m pytest -q -m slow $(ARGS)

gpu-check: ## Check a GPU in at most ten minutes with what is installed (.venv, or PYTHON): tests, then fits of `small`
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m experiments.gpu_check $(ARGS)

lint: setup ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy prune_bench

table1: setup ## Train, prune, measure and print Table 1 (PRESET=smoke, tiny, small or paper; ARGS="key=value ...")
table2: setup ## The same for Table 2, the ablation
figure2: setup ## The same for Figure 2, what is kept by module and layer
claims: setup ## Judge the paper's claims over three seeds
parp-table1: setup ## PARP's Table 1: pretrained encoders at 90 %, and how often each method fine-tunes
parp-table2: setup ## Table 2: 10 % PARP on the fewest labels, two model sizes
parp-table3: setup ## Table 3: phone error rates, averaged over languages
parp-figure1: setup ## Figure 1: fine-tunings, updates and minutes against sparsity
parp-figure2: setup ## Figure 2: how the masks of languages overlap
parp-figure3: setup ## Figure 3: error rate against sparsity, three amounts of labels
parp-figure4: setup ## Figure 4: Dutch phone error rate against sparsity
parp-figure5: setup ## Figure 5: PARP's final mask against the first one
parp-figure6: setup ## Figure 6: PARP from a random mask
parp-figure7: setup ## Figure 7: masks of one language in another
parp-claims: setup ## Judge PARP's claims over three seeds
nnlm-table1: setup ## The language-model study: structure x criterion x schedule x size
nnlm-figure1: setup ## Figure 1: perplexity against size
nnlm-figure2: setup ## Figure 2: error rate in shallow fusion against size
nnlm-figure3: setup ## Figure 3: accuracy against operations
nnlm-figure4: setup ## Figure 4: rare and frequent text
nnlm-figure5: setup ## Figure 5: what is left of each layer and component
nnlm-claims: setup ## Judge the language-model paper's claims over three seeds
table1 table2 figure2 claims $(PARP) parp-claims $(NNLM) nnlm-claims:
	$(BIN)/python experiments/sweep.py table=$@ preset=$(PRESET) $(ARGS)

parp: $(PARP) ## All of PARP's tables and figures

nnlm: $(NNLM) ## The whole language-model study

report: setup ## Print a finished table again from its rows, without training (TABLE=table1)
	$(BIN)/python experiments/report.py $(TABLE) preset=$(PRESET) $(ARGS)

bench: setup ## Measure speed and memory side by side with peers, and the coverage of intervals
	$(BIN)/python -m experiments.benchmarks $(ARGS)

clean: ## Remove the virtual environment and tool caches; results in output/ stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache *.egg-info build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
