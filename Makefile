# The few commands that a newcomer needs. Everything behind them is a script or a playbook that can be called without make.
.DEFAULT_GOAL := help
PIN = .venv/bin/uv pip compile --quiet --no-config --upgrade --universal --python-version 3.12 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links
.PHONY: help bootstrap bootstrap-tests bench demo up down test lint test-unit test-cloud test-kernel test-lab test-faults test-docs test-fleet test-vm requirements

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: bootstrap  ## lab, double tunnel, migration at 0.1 s and the proof of it, on this machine
	@scripts/demo

up: bootstrap  ## only the lab: five machines on this one, which inventory/lab names
	@scripts/lab up

down:  ## remove every trace of the lab
	@scripts/lab down --all

test: bootstrap-tests  ## lint, unit, kernel and lab
	@scripts/test

bench: bootstrap  ## figures of the lab's tunnel beside the static one and the original's loop; 30 minutes
	@scripts/bench

lint: bootstrap-tests  ## style, types, documentation against code
	@scripts/test lint

test-unit: bootstrap-tests  ## pure code; no root, seconds
	@scripts/test unit

test-cloud: bootstrap-tests  ## provisioning against fakes of the providers; no root
	@scripts/test cloud

test-kernel: bootstrap-tests  ## real namespaces and devices; root
	@scripts/test kernel

test-lab: bootstrap-tests  ## the whole topology on the lab's machines; root
	@scripts/test lab

test-faults: bootstrap-tests  ## machines that stop, hang, or lose files, power or controller; root
	@scripts/test faults

test-docs: bootstrap-tests  ## every command that a page tells to run; root
	@scripts/test docs

test-fleet: bootstrap-tests  ## the front door, ansible-navigator and ansible-builder on the lab; root
	@scripts/test fleet

test-vm: bootstrap-tests  ## virtual machines with a kernel of their own, Debian 13 and 12; root
	@scripts/bootstrap --vm
	@scripts/test vm

requirements: bootstrap  ## pin the newest versions of requirements*.in in requirements*.txt
	@$(PIN) --output-file requirements.txt requirements.in
	@$(PIN) --constraints requirements.txt --output-file requirements-cloud.txt requirements-cloud.in
	@$(PIN) --constraints requirements.txt --output-file requirements-fleet.txt requirements-fleet.in
	@$(PIN) --constraints requirements.txt --no-deps --output-file requirements-collections.txt requirements-collections.in

bootstrap:
	@scripts/bootstrap

bootstrap-tests:
	@scripts/bootstrap --tests
