# Every target does its own set-up; what is there already is left alone.
.POSIX:
.PHONY: help diagrams setup setup-test demo test lint hard bench lock clean

BIN = .venv/bin
ARGS =

help:
	@echo 'make demo [ARGS=...]  the exchange with fictional members, ready to be tried'
	@echo 'make test             the checks of the code, then every quick test'
	@echo 'make hard             the long tests: 2 GB files, many kills'
	@echo 'make bench [ARGS=...] beside OpenSSH on this machine'
	@echo 'make setup            only the set-up; make lint, make lock, make diagrams, make clean'

setup:
	@.ci/setup.sh run

setup-test:
	@.ci/setup.sh test

demo: setup
	@exec $(BIN)/safehand demo $(ARGS)

diagrams: setup
	$(BIN)/python .ci/diagrams.py

lint: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python .ci/diagrams.py --check

test: lint
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder tests/unit tests/flow tests/e2e $(ARGS)

hard: setup-test
	$(BIN)/pytest -m hard --timeout 1800 $(ARGS)

bench: setup-test
	@exec $(BIN)/python bench/bench.py $(ARGS)

lock: setup-test
	.ci/lock.sh $(ARGS)

clean:
	rm -rf .venv .safehand-demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
