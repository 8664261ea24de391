# Two commands for a fresh machine: `make demo` and `make test`. Both may be run again at any time.
PYTHON ?= python3
VENV ?= .venv
# Linux users without a GPU who want a small torch can name theirs: make demo TORCH=/path/to/torch-cpu.whl
TORCH ?= torch==2.13.0
PYTEST_ARGS ?= -n 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq --no-input
TIMED = started=$$(date +%s); finish() { echo "make $@: $$(($$(date +%s) - started)) s"; }; set -e
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1

.PHONY: help demo demo-web demo-audit test check format docs clean
help:
	@echo "make demo    install into $(VENV) and watch text being read back from vectors"
	@echo "make demo-web  the same on a page of your own machine, at http://127.0.0.1:8080"
	@echo "make demo-audit  the audit of a small store of invented customer notes, as a page in data/audit.html"
	@echo "make test    install what the tests need and run them"
	@echo "make check   ruff, mypy and import-linter"
	@echo "make format  let ruff put the code in order"
	@echo "make docs    write docs/cli.md anew from the commands' own help"
	@echo "make clean   remove $(VENV) and the caches"

demo:
	@$(TIMED); $(MAKE) -s $(VENV)/.installed; $(OFFLINE) $(BIN)/unmask demo; finish

demo-web: $(VENV)/.installed
	@$(OFFLINE) $(BIN)/unmask serve --open

demo-audit:
	@$(TIMED); $(MAKE) -s $(VENV)/.installed-audit; mkdir -p data; \
	$(OFFLINE) $(BIN)/python benchmarks/customer_notes.py data/customer-notes; \
	$(OFFLINE) $(BIN)/unmask audit data/customer-notes --sample 60 --html data/audit.html; finish

test:
	@$(TIMED); $(MAKE) -s $(VENV)/.installed-dev; \
	code=0; $(OFFLINE) $(BIN)/python -m pytest $(PYTEST_ARGS) || code=$$?; finish; exit $$code

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed
	$(BIN)/python -m unmask.cli.reference docs/cli.md

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# A stamp is written last, so an installation that was cut short is taken up again.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "unmask needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 || echo missing). Try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "1/3 creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: $(VENV)/.created
	@echo "2/3 installing $(TORCH), the largest part"
	@$(PIP) install '$(TORCH)'
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	@echo "3/3 installing unmask and the rest"
	@$(PIP) install -e .
	@touch $@

$(VENV)/.installed-audit: $(VENV)/.torch pyproject.toml
	@echo "3/3 installing unmask and LanceDB"
	@$(PIP) install -e '.[lancedb]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml
	@echo "3/3 installing unmask and what the tests need"
	@$(PIP) install -e '.[dev]'
	@touch $(VENV)/.installed $(VENV)/.installed-audit $@
