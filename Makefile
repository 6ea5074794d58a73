# Everything runs in a virtual environment of its own, made on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# An Xray on PATH is used as it is; otherwise one is obtained into the user's cache, once.
# sing-box comes with the environment.
ENGINES := $(VENV)/.engines

# Rooms without I/O: every line and branch is tested.
PURE := "healthd/endpoints/*,healthd/model.py,healthd/errors.py,healthd/config/*,healthd/fleet/*,healthd/verdict/*,healthd/publishing/about.py,healthd/publishing/clash.py,healthd/publishing/clash_limits.py,healthd/publishing/clash_proxy.py,healthd/publishing/formats.py,healthd/publishing/files.py,healthd/publishing/meta.py,healthd/publishing/users/*,healthd/publishing/singbox.py,healthd/publishing/links.py,healthd/publishing/xray.py,healthd/engines/singbox_limits.py,healthd/engines/carrying.py,healthd/engines/dialect.py,healthd/engines/reasons.py,healthd/engines/singbox.py,healthd/engines/singbox_outbound.py,healthd/engines/xray.py,healthd/engines/xray_limits.py,healthd/engines/xray_outbound.py,healthd/engines/socks.py,healthd/replay/*"

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Polling and blocking calls are for tests (110, 221); httpx2 is too young (127); `task_status` that is
# passed on and handlers that need not wait look like faults, but are none (114, 124, 128).
NOT_ASYNC := ASYNC110,ASYNC114,ASYNC124,ASYNC127,ASYNC128,ASYNC221

.PHONY: demo test test-slow lint format soak bench clean

demo: $(ENGINES)
	$(BIN)/healthd demo

test: lint $(ENGINES)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(TESTS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --include=$(PURE) --fail-under=100
	$(BIN)/coverage report --format=total --fail-under=90

# What takes minutes: an hour's chaos in small, every kill point of every kind of publication.
test-slow: $(ENGINES)
	$(BIN)/python -m pytest -m slow $(TESTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/flake8-async --enable ASYNC1,ASYNC2,ASYNC3 --disable $(NOT_ASYNC) $$(find healthd tests bench -name '*.py')

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(ENGINES)
	$(BIN)/python bench/soak.py $(SOAK)

bench: $(ENGINES)
	$(BIN)/python bench/cost.py $(BENCH)
	$(BIN)/python bench/replay.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

$(READY): pyproject.toml Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade "pip>=25.1"
	$(BIN)/pip install -q --editable '.[sing-box]' --group dev
	@touch $@

$(ENGINES): $(READY)
	@$(BIN)/healthd engines 2>/dev/null || $(BIN)/healthd engines install
	@touch $@
