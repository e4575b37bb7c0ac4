# Two commands: `make demo` and `make test`. Both make the environment in .venv from exact versions first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: env demo test lint types check docs reliability bench golden evidence clean

# uv takes a third of pip's time; pip does the same where uv cannot (no wheel of it, an index that only pip knows).
INSTALL = $(BIN)/uv pip install --quiet --python $(VENV) --cache-dir $(VENV)/cache --constraint constraints.txt $(1) || \
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt $(1)
# Compiled on all cores, unlike by pip; without large folders that nothing here imports.
UNUSED := /(tests|transformers/models|rllib|pip|mypy|sympy|cache)/

env: $(STAMP)

$(STAMP): constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv || true
	$(call INSTALL,--editable ".[data]" --group dev)
	rm -rf $(VENV)/cache
	$(BIN)/python -m compileall -qq -j 0 -x '$(UNUSED)' $(VENV)/lib || true  # a file of torch is for 3.12
	@touch $(STAMP)

demo: env  ## plain against residual on the embedded digits, about four minutes; the report's path is the last word
	@$(BIN)/reslab reproduce degradation

test: env lint types  ## one thread for each of two processes: waiting for each other's threads takes twice the time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

docs: env  ## the documentation site, in build/site; a warning is an error
	$(call INSTALL,--group docs)
	@rm -rf build/site
	$(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going --builder html docs build/site
	@echo build/site/index.html

reliability: env  ## kills, flipped bits, full disks, hostile input: one to two hours; ROWS="1 9 13" for some of them
	$(call INSTALL,--group oracles)
	RELIABILITY_ROWS="$(ROWS)" $(if $(ROWS),,RELIABILITY_TABLE=docs/reliability.md) \
		$(BIN)/python -m pytest -n 2 --dist worksteal -m slow tests/reliability $(if $(ROWS),,tests)

bench: env  ## every benchmark, or PARTS="train_cpu jpeg"; ARGS="--quick" or "--record" for all of them
	$(call INSTALL,--group bench)
	$(BIN)/python -m benchmarks $(PARTS) $(ARGS)

golden: env  ## proof that this tree computes what REV does, bit for bit; ARGS="--quick", "--only ROW,ROW"
	$(BIN)/python -m benchmarks.golden --against $(or $(REV),HEAD) $(ARGS)

evidence: env  ## CIFAR-10 runs behind results/; resumable; DATA=cifar10:PATH
	$(BIN)/python -m benchmarks.evidence $(if $(DATA),--data $(DATA))

clean:
	rm -rf $(VENV) build/site .pytest_cache .ruff_cache .mypy_cache
