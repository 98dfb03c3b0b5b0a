# Start with `make serve` or `make test`; both install the packages that they need.
# To use another Python version: make test PYTHON=python3.13

PYTHON ?= python3
VENV ?= .venv/$(notdir $(PYTHON))
BIN := $(VENV)/bin
TEST_PLUGINS := $(wildcard tests/support/plugins/*.toml tests/support/plugins/*/*.py)
NPM_FILES := $(addprefix tests/support/npm/,package.json package-lock.json)

.PHONY: serve check test lint docs deb collect bench bench-peers load fuzz clean

serve: $(VENV)/serve.stamp CA/root-ca.crt
	@echo
	@echo "Anchor is about to listen on http://127.0.0.1:5016. A request to try, from another shell:"
	@echo
	@echo "  openssl req -out anchor-test.example.com.csr -nodes -newkey rsa:2048 \\"
	@echo "    -keyout anchor-test.example.com.key -subj /CN=anchor-test.example.com"
	@echo "  curl http://0.0.0.0:5016/v1/sign/default -F user='myusername' -F secret='simplepassword' \\"
	@echo "    -F encoding=pem -F 'csr=<anchor-test.example.com.csr'"
	@echo
	$(BIN)/pecan serve config.py

# Linters, types and the quick tests without servers: no root, no Debian packages.
# The compiled tests are kept: compiling them takes as long as importing them.
check: $(VENV)/check.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --quiet --numprocesses=auto --dist=worksteal \
	    --hypothesis-profile=check -m 'not slow' tests/unit $(PYTEST)

# Three processes keep two cores busy: many tests wait for a server, or for a time.
test: $(VENV)/test.stamp $(VENV)/packages.stamp $(VENV)/npm.stamp CA/root-ca.crt
	$(MAKE) --jobs=2 lint docs collect
	$(BIN)/anchor test-policy tests/policy/sample.json
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest --cov --cov-report=term --numprocesses=3 --dist=loadfile \
	    --no-loadscope-reorder $(PYTEST)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/test.stamp
	$(BIN)/sphinx-build --fail-on-warning --keep-going -q doc/source doc/build

# Packages for the Debian release that this runs on, in build/deb: see howto/debian.rst.
deb:
	tools/make-deb

# pytest compiles the tests once, not in each of its processes.
collect: $(VENV)/test.stamp
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --collect-only -qq >/dev/null || true

bench: $(VENV)/test.stamp $(VENV)/packages.stamp
	$(BIN)/python tools/bench.py $(BENCH)
	$(BIN)/python tools/bench_scale.py
	$(BIN)/python tools/bench_nodes.py

# Next to cfssl and OpenBao where they are installed: make bench-peers PEERS='--bao ~/openbao/bin/bao'
bench-peers: $(VENV)/test.stamp
	$(BIN)/python tools/bench_peers.py $(PEERS)

# Runs until it is interrupted.  FUZZ sets options of libFuzzer: make fuzz FUZZ=-runs=100000
fuzz: $(VENV)/test.stamp
	mkdir -p .cache/fuzz
	$(BIN)/python tools/fuzz_request.py -max_len=65536 -timeout=10 -artifact_prefix=.cache/fuzz- \
	    $(FUZZ) .cache/fuzz tests/vectors

# The load tests with the numbers from the documentation; some minutes on two cores.
load: $(VENV)/packages.stamp $(VENV)/test.stamp
	ANCHOR_LOAD=full $(BIN)/python -m pytest tests/system/test_load.py \
	    tests/system/test_nodes.py

CA/root-ca.crt: | $(VENV)/serve.stamp
	$(BIN)/anchor init --ca-only --name "Anchor Test CA" --key rsa-4096

$(VENV)/bin/python:
	tools/make-venv $(PYTHON) $(VENV)

$(VENV)/serve.stamp: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/check.stamp: setup.cfg pyproject.toml $(TEST_PLUGINS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[check]'
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps ./tests/support/plugins
	touch $@

$(VENV)/test.stamp: setup.cfg pyproject.toml $(TEST_PLUGINS) | $(VENV)/bin/python
	tools/install-packages gcc libssl-dev python3-dev
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps ./tests/support/plugins
	touch $@

# The servers that the tests use.
$(VENV)/packages.stamp: tests/packages.txt | $(VENV)/bin/python
	tools/install-packages $$(grep -v '^#' tests/packages.txt)
	touch $@

# acme-client and axe-core, with exactly the packages of package-lock.json.  npm trusts this machine's CAs.
$(VENV)/npm.stamp: $(NPM_FILES) | $(VENV)/test.stamp
	mkdir -p $(VENV)/npm
	cp $(NPM_FILES) $(VENV)/npm
	NODE_USE_SYSTEM_CA=1 $(BIN)/npm ci --prefix $(VENV)/npm --ignore-scripts --no-audit --no-fund \
	    --loglevel=error
	touch $@

clean:
	rm -rf .venv .cache build doc/build .coverage .coverage.*
