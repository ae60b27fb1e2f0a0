# Everything a newcomer needs. Each of run, test and bench does its own set-up first; see requirements/setup.

export PATH := $(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin
python := .venv/bin/python
# what makes and runs images mounts things
wishes := PROOFLINE_IMAGE_TESTS,PROOFLINE_SOAK,PROOFLINE_SEED,PROOFLINE_IMAGE_WORK
as_root := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=$(wishes))
# services run as users of their own, who may not be able to enter the folder above this checkout
reachably := $(python) -m hil.local_station.place $(python)

# the order of the files is theirs: the longest first
image_tests := $(python) -m pytest -n 2 --dist loadfile --no-loadscope-reorder hil/tests/image

# test files that can look wider say so by this name (CONTRIBUTING); the image's have a target of their own
soaking = $(filter-out hil/tests/image/%,$(shell grep -rl PROOFLINE_SOAK --include='test_*.py' tests hil/tests))

.DEFAULT_GOAL := help
.PHONY: help setup run test soak bench lint docs lock clean image image-lock image-boot image-test image-soak image-bench repro

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install what is missing (Debian packages, .venv from the locks, the board's firmware)
	@requirements/setup

run: setup ## the story: boards provisioned, refused and verified; AUTO=1 presses the button for you
	@$(reachably) -m hil.story $(if $(filter 1,$(AUTO)),--auto)

test: setup ## every test, linters and type checker included; ARGS=... goes to pytest
	@$(reachably) -m pytest -n 2 --dist loadfile $(ARGS)

soak: setup ## the tests that can look wider, as wide as they can: every crash point, 1,000 fault plans; takes long
	@PROOFLINE_SOAK=1 $(reachably) -m pytest -n 2 --dist loadfile $(soaking) $(ARGS)

bench: setup ## the figures, one JSON object a line
	@$(reachably) -m hil.bench

lint: setup ## formatting, lint rules and types alone
	@$(python) -m ruff format --check --diff .
	@$(python) -m ruff check .
	@$(python) -m mypy

image: setup ## the appliance image and all it is made of, as root or through sudo; see docs/image.md
	@image/build image

image-lock: setup ## write the image's locks anew and show what changed
	@image/build lock

image-boot: image ## boot the image in QEMU and show its console until it says whether it is ready
	@$(as_root) $(python) -m hil.virtual_station

image-test: image ## boot the image, work it as a person would, cut its power, update it, damage it; as root or sudo
	@PROOFLINE_IMAGE_TESTS=1 $(as_root) $(image_tests) $(ARGS)

image-soak: image ## the same with every power cut and more of each kind; takes hours
	@PROOFLINE_SOAK=1 PROOFLINE_IMAGE_TESTS=1 $(as_root) $(image_tests) $(ARGS)

image-bench: image ## the image's figures, one JSON object a line
	@image/build bench
	@$(as_root) $(python) -m hil.virtual_station.bench

repro: setup ## build twice, elsewhere and otherwise, and compare every shipped file
	@image/build repro

docs: setup ## write docs/errors.md anew from the error classes
	@$(python) -m appliance.docgen docs/errors.md

lock: ## write the Python locks anew; ARGS=--upgrade moves to newer versions
	@requirements/lock $(ARGS)

clean: ## remove what builds and runs left behind; .venv stays
	@[ ! -e .build/image ] || $(as_root) rm -rf .build/image
	rm -rf .build build dist out *.egg-info hil/*.egg-info hil/firmware/build
	find appliance hil tests -name __pycache__ -prune -exec rm -rf {} +
