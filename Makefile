# make run   opens the app on http://localhost:8501
# make test  checks everything: ruff, pytest and the browser tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint bench screenshot

run: $(VENV)/.installed
	@echo "Backward Lens opens on http://localhost:8501 (Ctrl+C ends it)"
	@$(BIN)/python -m streamlit run

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	sh scripts/install_chromium.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.analysis

screenshot: $(VENV)/.installed-dev
	sh scripts/install_chromium.sh
	$(BIN)/python -m scripts.screenshot

# torch comes first and on its own: its CPU build is what a laptop needs.
$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' requirements.txt)"
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@
