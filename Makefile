# Every target makes .venv when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SWEEP ?= gated_vs_baseline
SEEDS ?= 0,1,2
PEERS := .venv-peers
BENCH ?=

.PHONY: setup demo test test-quick lint docs results storm kill100 bench saelens-check interval-coverage bundled-model

setup: $(VENV)/.installed
	@echo "environment ready: $(VENV)"

# torch first, by its exact version, so that the wheel an offline or CPU-only machine offers is taken
$(VENV)/.installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install -q --disable-pip-version-check -c .ci/constraints.txt -e ".[dev]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python pipeline/run.py -m sweep=$(SWEEP)
	$(BIN)/python pipeline/plot_pareto.py sweep=$(SWEEP)

test: $(VENV)/.installed
	$(BIN)/python -m pytest -m "" -n 3 --dist loadgroup

# without those marked slow, and without a Slurm, a Chromium or a pretended device: some 75 seconds on two cores
test-quick: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist loadgroup

lint: $(VENV)/.installed
	$(BIN)/ruff format --check pipeline tests benchmarks
	$(BIN)/ruff check pipeline tests benchmarks
	$(BIN)/mypy

# the documentation, to site/; a broken link fails (not with --quiet: warnings that are not shown are not counted)
docs: $(VENV)/.docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "built site/index.html"

$(VENV)/.docs-installed: $(VENV)/.installed
	$(BIN)/pip install -q --disable-pip-version-check -c .ci/constraints.txt -e ".[docs]"
	touch $@

# train what is missing of the default sweep with several seeds, draw it, and publish what git keeps
results: $(VENV)/.installed
	$(BIN)/python pipeline/run.py -m sweep=$(SWEEP) seed=$(SEEDS)
	rm -rf results/$(SWEEP) results/reference/$(SWEEP)
	$(BIN)/python pipeline/plot_pareto.py sweep=$(SWEEP)
	mkdir -p results/reference
	cp -r results/$(SWEEP) results/reference/$(SWEEP)
	@echo "published results/reference/$(SWEEP)"

# a sweep on a test cluster of its own, disturbed in every way (as root, with Slurm's packages; about ten minutes)
storm: $(VENV)/.installed
	$(BIN)/python -m tests.slurm.storm

# what we claim about speed, against the peers, and the bars (some hour and a half; BENCH=quick=true: ten minutes;
# BENCH=publish=true: to results/reference/benchmarks too)
bench: $(VENV)/.installed $(PEERS)/.installed
	$(BIN)/python -m benchmarks.run $(BENCH)

# SAELens loads and evaluates runs of ours, to our numbers (docs/saelens.md)
saelens-check: $(VENV)/.installed $(PEERS)/.installed
	$(BIN)/python -m pytest -m "" tests/sae/test_saelens.py

# the peers' environment; torchvision has no place beside a CPU build of torch: transformers would fail to import it
$(PEERS)/.installed: benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install -q --disable-pip-version-check torch==2.13.0
	$(PEERS)/bin/pip install -q --disable-pip-version-check -r benchmarks/peers.txt
	$(PEERS)/bin/pip uninstall -q -y torchvision
	touch $@

# do the 95 % intervals cover a known truth in 93-97 % of simulated draws? (half an hour)
interval-coverage: $(VENV)/.installed
	$(BIN)/python -m benchmarks.interval_coverage

# the language model in the package, from scratch (about an hour on two cores), and its card
bundled-model: $(VENV)/.installed
	MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 $(BIN)/python -m pipeline.bundled.train
	$(BIN)/python -m pipeline.bundled.card
	@tail -n 1 pipeline/bundled/model/README.md

# 100 kills with SIGKILL inside checkpoints, blocks, resampling, evaluation, records: as never killed, bit for bit
kill100: $(VENV)/.installed
	$(BIN)/python -m tests.kills.kill
