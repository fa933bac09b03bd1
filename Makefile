# Two commands do everything: `make demo` and `make test`. Both make their own environment first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
DEMO ?= demo
STORY ?= story

.PHONY: demo story test lint format bench serve docs clean

demo: $(STAMP)
	$(BIN)/fullconv demo --out $(DEMO)

# WEIGHTS=FILE where nothing can be downloaded; CAMVID=FOLDER tells it on CamVid too.
story: $(STAMP)
	$(BIN)/python examples/story.py --out $(STORY) --page docs/tutorials/story.md \
	  $(if $(WEIGHTS),--weights $(WEIGHTS)) $(if $(CAMVID),--camvid $(CAMVID))

# The tests start hundreds of programs of ours; none is to compile the sources anew.
test: $(STAMP) lint
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	for file in $$(grep -l __main__ benchmarks/*.py); do $(BIN)/python $$file || exit 1; done

# With what the demo made, if it has run.
serve: $(STAMP)
	$(BIN)/fullconv serve $(if $(wildcard $(DEMO)/made-by-fullconv-demo),--workspace $(DEMO)/workspace)

docs: $(STAMP)
	$(BIN)/python docs/reference/generate.py

clean:
	rm -rf $(VENV) $(DEMO)

# Made again only when the declared or pinned dependencies change.
$(STAMP): pyproject.toml constraints.txt
	if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	  uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	touch $(STAMP)
