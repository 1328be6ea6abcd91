# `make demo` and `make test` are the two commands of the README; they install what they need.
PYTHON ?= python3
# Nothing but a loopback is there.
IN_NAMESPACE = .venv/bin/python -m tests.lab.namespace -- .venv/bin/python -m pytest -q

.PHONY: help demo test fuzz fresh bench dist deb rpm matrix distros collection fleet-lint fleet docs lint format clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: packages-demo .venv/made ## one certificate from first to last, on a CA and name servers of its own
	@.venv/bin/python -m tests.lab.demo

test: packages-test .venv/made .venv-dist/made ## all tests, on the newest certbot (T=tests/dns01: these)
	.venv/bin/python -m pytest $(or $(T),tests --ignore tests/distros --ignore tests/ansible --ignore tests/guide --ignore tests/fuzz --cov) --numprocesses 4
	$(if $(T),,$(IN_NAMESPACE) tests/fuzz)

fuzz: packages-test .venv/made ## what others write, made up at random for a minute; finds are kept in tests/fuzz/seeds
	FUZZ=long $(IN_NAMESPACE) tests/fuzz --numprocesses 4

fresh: packages-fresh ## `make demo` and `make test` as a newcomer has them, on a bare Debian 12 (FRESH=root: as root)
	@$(PYTHON) -m tests.fresh $(FRESH)

bench: packages-bench .venv-bench/made ## speed and load (7 minutes; BENCH=bad-day, BENCH=more or a row: those)
	@.venv-bench/bin/python -m tests.bench $(BENCH)

dist: .venv-dist/made ## the sdist and the wheel, the same bytes from the same commit
	@sh release/make-dist .venv-dist/bin/python

deb: packages-deb ## the Debian package, looked at by lintian
	@sh release/make-deb

matrix: packages-test dist ## all tests of the wheel on every platform's certbot (PLATFORMS="debian-11 pypi": on these)
	@$(PYTHON) -m tests.matrix $(PLATFORMS)

rpm: packages-test dist .venv/made ## the RPMs for EPEL 9 and 10, checked with rpmlint
	@sh release/rpm/make-rpm dist/certbot_tcs_lyon1-*.tar.gz dist .venv/bin/python

distros: packages-distros deb dist .venv/made ## the .deb on Debian 11 to 13 with their own certbots, and the guide's commands on 12
	CI=true .venv/bin/python -m pytest --numprocesses 2 --dist loadfile tests/distros tests/guide

collection: .venv-ansible/made ## the Ansible collection, in dist/
	.venv-ansible/bin/ansible-galaxy collection build --force --output-path dist ansible

fleet-lint: collection ## ansible-lint, in its production profile, on the collection as it is installed
	rm -rf build/lint
	.venv-ansible/bin/ansible-galaxy collection install --force -p build/lint dist/univ_lyon1-tcs-*.tar.gz
	cp ansible/.ansible-lint build/lint/ansible_collections/univ_lyon1/tcs
	cd build/lint/ansible_collections/univ_lyon1/tcs && \
	  ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/build/lint PATH=$(CURDIR)/.venv-ansible/bin:$$PATH ansible-lint

fleet: packages-distros deb dist .venv/made .venv-ansible-debian-12/made fleet-lint ## the collection on Debian 11 to 13 and on light hosts (FLEET=100: so many)
	CI=true .venv/bin/python -m pytest $(if $(FLEET),,--numprocesses 2 --dist loadfile) tests/ansible

docs: packages-docs .venv-docs/made ## the site, from docs/, in build/docs, looked at in a browser
	rm -rf build/docs build/doctrees
	.venv-docs/bin/python -m sphinx -W --keep-going -n -q -d build/doctrees -b html docs build/docs
	.venv-docs/bin/python -m pytest tests/docs/test_site.py

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
	rm -rf .venv* .demo build dist *.egg-info .coverage*

PIP_INSTALL = bin/python -m pip install --quiet --disable-pip-version-check

.venv/made: setup.py tests/env/test.txt | packages-venv
	$(PYTHON) -m venv --clear .venv
	.venv/$(PIP_INSTALL) --requirement tests/env/test.txt --editable .
	@touch $@

# The newest Ansible wants a newer Python than Debian 12's, where there is one.
.venv-ansible/made: tests/env/ansible.txt | packages-venv
	$$(sh tests/env/python 3.13 2>/dev/null || sh tests/env/python 3.12 2>/dev/null || echo $(PYTHON)) -m venv --clear .venv-ansible
	.venv-ansible/$(PIP_INSTALL) --requirement tests/env/ansible.txt
	@touch $@

.venv-ansible-debian-12/made: tests/env/ansible-debian-12.txt | packages-venv
	$(PYTHON) -m venv --clear .venv-ansible-debian-12
	.venv-ansible-debian-12/$(PIP_INSTALL) --requirement tests/env/ansible-debian-12.txt
	@touch $@

# No plugin is installed in it, for certbot loads all that are.
.venv-bench/made: tests/env/bench.txt | packages-venv
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/$(PIP_INSTALL) --requirement tests/env/bench.txt
	.venv-bench/$(PIP_INSTALL) --no-deps --target .venv-bench/rfc2136 certbot-dns-rfc2136
	@touch $@

.venv-docs/made: setup.py tests/env/test.txt tests/env/docs.txt | packages-venv
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/$(PIP_INSTALL) --requirement tests/env/docs.txt --requirement tests/env/test.txt --editable .
	@touch $@

.venv-dist/made: tests/env/dist.txt | packages-venv
	$(PYTHON) -m venv --clear .venv-dist
	.venv-dist/$(PIP_INSTALL) --requirement tests/env/dist.txt
	@touch $@

.venv-lint/made: tests/env/lint.txt | packages-venv
	$(PYTHON) -m venv --clear .venv-lint
	.venv-lint/$(PIP_INSTALL) --requirement tests/env/lint.txt
	@touch $@
