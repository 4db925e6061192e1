# make run   opens the app on http://localhost:8501
# make test  checks everything: ruff, pytest and the browser tests
# make fuzz  10,000 hostile texts through all pages, 1,000 damaged files of each kind (an hour)
# make real-model  fetches SmolLM2-135M, the pretrained network of the tests marked "real"
# make lock  writes anew which version of every package is installed
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test fuzz real-model bench screenshot lock

run: $(VENV)/.installed
	@echo "Backward Lens opens on http://localhost:8501 (Ctrl+C ends it)"
	@$(BIN)/python -m streamlit run

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	sh scripts/install_chromium.sh
	$(BIN)/python -m scripts.real_model --optional
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

fuzz: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz

real-model: $(VENV)/.installed
	$(BIN)/python -m scripts.real_model

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.analysis

screenshot: $(VENV)/.installed-dev
	sh scripts/install_chromium.sh
	$(BIN)/python -m scripts.screenshot

lock: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet uv==0.13.9
	$(LOCK) requirements.txt --output-file requirements.lock
	$(LOCK) requirements-cluster.txt --output-file requirements-cluster.lock
	$(LOCK) requirements-dev.txt --output-file requirements-dev.lock

# For every system and Python from 3.11 on, at the newest versions that go together.
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal \
	--python-version 3.11

# torch comes first and on its own: its CPU build is what a laptop needs.
$(VENV)/.installed: requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' requirements.txt)"
	$(BIN)/python -m pip install --quiet -r requirements.lock
	touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.lock
	touch $@
