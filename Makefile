# Two commands do everything on a bare Debian-like machine:
#   make quickstart   install, and run the main job on embedded data to a visible result
#   make test         install, and run the tests

PYTHON ?= python3
VENV ?= .venv
QUICKSTART ?= quickstart
SEED ?= 0

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: quickstart test lint types docs test-long slow gl install release clean

quickstart: install gl
	$(BIN)/vipl demos render --out $(QUICKSTART)/demos --tasks rdoor_close \
		--cameras left_cam --size 128
	$(BIN)/vipl fit --config configs/fit/quickstart.yaml seed_everything=$(SEED) \
		data.manifest=$(QUICKSTART)/demos/manifest.parquet run_dir=$(QUICKSTART)/run overwrite=true
	$(BIN)/vipl curves $(QUICKSTART)/demos/manifest.parquet --out $(QUICKSTART)/curves \
		--encoder initial=$(QUICKSTART)/run/encoder_initial \
		--encoder trained=$(QUICKSTART)/run/encoder
	$(BIN)/vipl eval --config configs/eval/quickstart.yaml --encoder $(QUICKSTART)/run \
		--out $(QUICKSTART)/results --run-id rdoor_close
	@echo
	@echo "The encoder:   $(QUICKSTART)/run/encoder"
	@echo "The pictures:  $(QUICKSTART)/curves/*.png (held-out demonstrations, before and after)"
	@echo "The robot:     $(QUICKSTART)/results/frankakitchen-v1/rdoor_close/report.html (with videos)"
	@echo "Try next:      another task, or your own videos"
	@echo "  $(BIN)/vipl eval --list"
	@echo "  $(BIN)/vipl manifest build folder VIDEOS --out my.parquet"
	@echo "  $(BIN)/vipl fit --config folder data.manifest=my.parquet"

test: install gl
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

# Large encoders, benchmarks, and every command of the pages.
test-long: install gl
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow -n 1 tests/unit tests/integration

slow: install gl
	$(BIN)/pytest -m slow tests/slow

# The site, in site/; a link or an anchor that leads nowhere ends it.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "To read it: open site/index.html; with search: $(BIN)/python -m http.server -d site"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# Builds and checks the sdist and the wheel, in dist/.
release: install
	@PYTHON="$(abspath $(BIN))/python" VENV="$(VENV)" sh tools/release.sh

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh tools/install.sh
	@touch $@

gl:
	@sh tools/install_gl.sh

clean:
	rm -rf $(VENV) $(QUICKSTART) build site .pytest_cache .mypy_cache .ruff_cache
