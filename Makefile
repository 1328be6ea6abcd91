# `make demo` and `make test` are the two commands of the README; they install what they need.
PYTHON ?= python3

.PHONY: help demo test test-oldest bench lint format clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: packages-demo .venv/made ## one certificate from first to last, on a CA and name servers of its own
	@.venv/bin/python -m tests.lab.demo

test: packages-test .venv/made ## all tests, on the newest certbot
	.venv/bin/python -m pytest --numprocesses 4 --cov

test-oldest: packages-test .venv-oldest/made ## all tests, on the oldest certbot (Debian 11's, Python 3.9)
	.venv-oldest/bin/python -m pytest --numprocesses 4

bench: packages-demo .venv-bench/made ## speed and load, against certbot-dns-rfc2136 (7 minutes)
	@.venv-bench/bin/python -m tests.bench

packages-%:
	@sh tests/env/packages $*

lint: .venv/made .venv-lint/made ## formatting, style, types
	.venv-lint/bin/ruff format --check .
	.venv-lint/bin/ruff check .
	.venv-lint/bin/mypy --python-executable .venv/bin/python

format: .venv-lint/made ## put the sources in order
	.venv-lint/bin/ruff format .
	.venv-lint/bin/ruff check --fix .

clean:           ## remove what make made
	rm -rf .venv .venv-oldest .venv-lint .venv-bench .demo build dist *.egg-info .coverage*

PIP_INSTALL = bin/python -m pip install --quiet --disable-pip-version-check

.venv/made: setup.py tests/env/test.txt
	$(PYTHON) -m venv --clear .venv
	.venv/$(PIP_INSTALL) --requirement tests/env/test.txt --editable .
	@touch $@

.venv-oldest/made: setup.py tests/env/test.txt tests/env/oldest.txt
	"$$(sh tests/env/python 3.9)" -m venv --clear .venv-oldest
	.venv-oldest/$(PIP_INSTALL) --requirement tests/env/oldest.txt --requirement tests/env/test.txt
	.venv-oldest/$(PIP_INSTALL) --no-deps --editable .
	@touch $@

# No plugin is installed in it, for certbot loads all that are.
.venv-bench/made: tests/env/bench.txt
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/$(PIP_INSTALL) --requirement tests/env/bench.txt
	.venv-bench/$(PIP_INSTALL) --no-deps --target .venv-bench/rfc2136 certbot-dns-rfc2136
	@touch $@

.venv-lint/made: tests/env/lint.txt
	$(PYTHON) -m venv --clear .venv-lint
	.venv-lint/$(PIP_INSTALL) --requirement tests/env/lint.txt
	@touch $@
