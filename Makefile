# SPDX-License-Identifier: Apache-2.0
# Thin: meson builds, tools/ and lab/ do the work. "make help" lists what there is.

BUILD := build
PREFIX := /usr/local
DESTDIR :=
.DEFAULT_GOAL := help
.PHONY: help setup configure build demo experiment test check bench lab-up lab-down fmt clean
.PHONY: install uninstall deb test-package test-long pictures test-vm

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | \
		while IFS='|' read -r target text; do printf '%-16s %s\n' "$$target" "$$text"; done

setup: ## install what Baton needs to be built and run (as root, on Debian)
	@tools/setup.sh

configure:
	@[ -f $(BUILD)/build.ninja ] || meson setup $(BUILD) >/dev/null

build: configure ## compile the programs and tests into build/
	@ninja -C $(BUILD) --quiet

demo: setup ## move a user's container between two edge servers, live, with a report
	@$(MAKE) --no-print-directory build
	@lab/demo

experiment: ## the paper's experiment, hours; QUICK=1: a short form of it, ten minutes
	@tools/setup.sh --experiment
	@$(MAKE) --no-print-directory build
	@lab/experiment --peers $(if $(QUICK),--quick)

test: setup ## run the tests, but those of test-long; the last line says how many passed and failed
	@$(MAKE) --no-print-directory build
	@tools/run-tests --build $(BUILD)

test-long: setup ## all tests, also those that take long: wide sweeps of seeds, ten hops of all software, all faults
	@$(MAKE) --no-print-directory build
	@tools/run-tests --build $(BUILD) --long

check: setup ## compilers, sanitizers, static checkers, house rules
	@tools/check

bench: setup ## measure what the way through Baton costs and how long moves take
	@$(MAKE) --no-print-directory build
	@lab/bench

lab-up: setup ## bring up the test bed: hosts, shaped WAN, Docker engines
	@$(MAKE) --no-print-directory build
	@lab/lab up

lab-down: ## remove the test bed
	@lab/lab down

install: ## install the programs; PREFIX=/usr/local, DESTDIR= for a staged tree
	@PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) tools/install

uninstall: ## remove what install has put there; the same PREFIX and DESTDIR
	@PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) tools/install --remove

deb: ## make Debian packages in build-deb/ (as root, or with tools/setup.sh --package done)
	@tools/make-deb

test-package: ## make, install, run, upgrade and purge the packages on bare systems; ten minutes
	@tests/package/run

pictures: ## draw docs/pictures anew where a source has changed (needs dot, of Graphviz)
	@tools/draw

test-vm: ## move a container between two virtual machines, compare its limits; HOPS=20; an hour without KVM
	@tests/vm/run $(if $(HOPS),--hops $(HOPS))

fmt: ## lay out all C files as .clang-format says
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean: ## remove what was built, and the test bed
	@lab/lab down
	@rm -rf --one-file-system build build-* out
