# Two commands for a stranger: `make serve` and `make test`. Everything lives in .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all:
CONFIG ?=
JOBS ?= 3
# Many an image sets this; then each of the hundred processes that the tests start would compile everything anew.
COMPILED := PYTHONDONTWRITEBYTECODE=
CONFIG_FLAG := $(if $(CONFIG),--config $(CONFIG))

.PHONY: serve say test lint format types bench soak lock clean

serve: .venv/.runtime  ## the server and its page on http://127.0.0.1:8000
	exec $(BIN)/refrain serve $(CONFIG_FLAG)

say: .venv/.runtime  ## make say TEXT="Hello there." [OUT=hello.mp3]
	@$(BIN)/refrain say "$${TEXT:-Hello there.}" -o "$${OUT:-hello.mp3}"

test: .venv/.dev .venv-wire/.ready lint  ## lint, strict types, and the whole fast test suite, by JOBS=3 workers
	$(COMPILED) $(BIN)/python -m pytest -m "not soak" -n $(JOBS) --dist worksteal

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml app cache providers
	BIN=$(BIN) .ci/audit

format: .venv/.dev
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

bench: .venv/.dev  ## the long measurements, printed with the machine they ran on
	$(BIN)/python -m benchmarks

soak: .venv/.dev  ## slow and cruel tests
	$(COMPILED) $(BIN)/python -m pytest -m soak

lock:  ## new pins: needs uv (pip install uv)
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet --output-file constraints.txt
	uv pip compile pyproject.toml --group build --group dev --constraint constraints.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet --output-file constraints-dev.txt
	uv pip compile tests/wire/requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet --output-file tests/wire/requirements.txt

clean:
	rm -rf .venv .venv-wire .refrain

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.runtime: constraints.txt pyproject.toml | .venv/bin/python
	$(PIP) -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: constraints-dev.txt .venv/.runtime
	$(PIP) -r constraints-dev.txt
	@touch $@

# The vendors' own SDKs and engines, which our adapters are compared with: never in the environment of the service.
.venv-wire/.ready: tests/wire/requirements.txt
	$(PYTHON) -m venv .venv-wire
	$(subst $(BIN),.venv-wire/bin,$(PIP)) -r tests/wire/requirements.txt
	@touch $@
