# The commands of this house. `make help` lists them.
#   PYTHON=…       a Python 3.11 or 3.12, when the one that is found is not the one you want
#   CONFIG=…       what `make train` trains
#   TORCH_INDEX=…  a package index to take torch from, for example PyTorch's own with CPU or CUDA builds
PYTHON ?=
CONFIG ?= jobs/configs/embedded.yaml
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
export COAT_HOME ?= $(CURDIR)/.coat
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help env vllm-env train test lint clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

env: $(STAMP) ## Make the environment in .venv (train and test do it by themselves)

$(STAMP): pyproject.toml constraints.txt scripts/make_env.sh
	@PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" sh scripts/make_env.sh $(VENV)

vllm-env: ## Make the environment of the vLLM engine in .venv-vllm, for the CPU (see docs/vllm.md)
	@PYTHON="$(PYTHON)" sh scripts/make_vllm_env.sh .venv-vllm

train: $(STAMP) ## Train and compare on this machine: a local Ray, the main job, a table, models that answer
	@$(BIN)/coat train --local $(CONFIG)

test: $(STAMP) ## Run all tests, in two processes
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

lint: $(STAMP) ## Check style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean: ## Remove the environment, all runs, models and caches of this folder
	rm -rf $(VENV) .venv-vllm .coat build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
