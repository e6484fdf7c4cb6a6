# Each target sets up what it needs: a machine needs make and Python >= 3.11, nothing else.
PYTHON ?= python3
NODES ?= 3
MINUTES ?= 60
SEED ?=
ARGS ?=
OVERLAY ?= try
TEST_SECONDS_MAX ?= 1500
TEST_PROCESSES ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Each process takes the next file: tests of clusters mostly wait, and so do those that sync disks.
PYTEST_BY_FILE = $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
SETUP := setup.py setup.cfg
KUBECTL := kubectl --namespace zraft
VERSION = $(shell sed -n 's/^version = //p' setup.cfg)
IMAGE_PYTHON := 3.11
IMAGE_PLATFORMS = $(foreach tag,_2_34 _2_31 _2_28 _2_27 _2_26 _2_24 _2_17 2014,--platform manylinux$(tag)_$(shell uname -m))

# A cluster of three is eighteen processes: each would compile all of zraft again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help build docker-build run run-cluster stop-cluster test test-fast test-steps simulate mutants chaos bench compare endurance catch-up large-state image-check dashboard-check deploy status logs clean-k8s lint schemas docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "Variables: PYTHON=$(PYTHON) (a Python >= 3.11), NODES=$(NODES) (run-cluster), MINUTES=$(MINUTES) (simulate, chaos, endurance), SEED (simulate), WITH (compare), TEST_PROCESSES=$(TEST_PROCESSES) (test, test-fast), OVERLAY=$(OVERLAY) (deploy, clean-k8s: try or production), ARGS (all that run something)"

build: $(VENV)/.test ## sdist and wheel, in dist/
	rm -rf build dist
	$(BIN)/python -m build

docker-build: build ## the images zraft:latest and zraft-chaos:latest, of that wheel and those of what they need (docker)
	rm -rf dist/image
	$(BIN)/python -m pip download --quiet --dest dist/image --python-version $(IMAGE_PYTHON) --implementation cp \
	    --only-binary :all: $(IMAGE_PLATFORMS) dist/*.whl dumb-init docker
	docker build --tag zraft:latest --file compose/Dockerfile --build-arg PYTHON_VERSION=$(IMAGE_PYTHON) \
	    --build-arg VERSION=$(VERSION) .
	docker build --tag zraft-chaos:latest --file compose/chaos.Dockerfile --build-arg PYTHON_VERSION=$(IMAGE_PYTHON) .

run: $(VENV)/.runtime ## one node in the foreground: clients on port 8080, HTTP on 9090
	$(BIN)/zraft node $(ARGS)

run-cluster: $(VENV)/.runtime ## a local cluster of three nodes, data under .zraft/
	$(BIN)/zraft dev up --nodes $(NODES) $(ARGS)

stop-cluster: $(VENV)/.runtime ## stop the local cluster; its data stays
	$(BIN)/zraft dev down

test: $(VENV)/.test ## all tests, the cheap ones first
	$(PYTEST_BY_FILE) --session-timeout=$(TEST_SECONDS_MAX) $(ARGS)

test-fast: $(VENV)/.test ## all tests but those that run clusters, real or simulated
	$(PYTEST_BY_FILE) -m "not cluster and not chaos and not simulation" $(ARGS)

test-steps: $(VENV)/.test ## what make test leaves out: every step of an installation killed, members that come and go for long
	$(BIN)/python -m pytest --long -m long $(ARGS)

simulate: $(VENV)/.test ## whole clusters in virtual time on all cores, for MINUTES; with SEED=n, one run line by line
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--minutes $(MINUTES)) $(ARGS)

mutants: $(VENV)/.test ## every named defect must be found: by the simulator, or by a test (45 minutes at most)
	@$(BIN)/python -m tests.mutants $(ARGS)

chaos: $(VENV)/.test ## MINUTES of faults on real nodes: kills, partitions, power cuts, bad disks; ends with a verdict
	$(BIN)/python -m tests.chaos.campaign --minutes $(MINUTES) $(ARGS)

bench: $(VENV)/.runtime ## a standard set of loads on a cluster of three nodes that is started for it: a table
	$(BIN)/python -m tools.bench $(ARGS)

compare: $(VENV)/.runtime ## this version beside another one, a checkout at WITH: the standard loads in turn, and the ratios
	$(BIN)/python -m tools.compare $(WITH) $(ARGS)

endurance: $(VENV)/.runtime ## MINUTES of overwrites at full load: what becomes of disk, memory and latency
	$(BIN)/python -m tools.endurance --minutes $(MINUTES) $(ARGS)

catch-up: $(VENV)/.runtime ## a follower that was away for 500,000 writes comes back under load: how long, at what cost
	$(BIN)/python -m tools.catch_up $(ARGS)

large-state: $(VENV)/.runtime ## a state of 1 GiB: the pause that a snapshot makes, and two ways back for a follower
	$(BIN)/python -m tools.large_state $(ARGS)

image-check: $(VENV)/.test ## zraft:latest on a real engine: faults and stops under load, pods by their manifest (docker, kubectl)
	$(PIP_INSTALL) --editable '.[tools]'
	$(BIN)/python -m tools.image_check

dashboard-check: $(VENV)/.runtime ## every panel of the dashboard on a real Prometheus, cluster, load and election (prometheus)
	$(BIN)/python -m tools.dashboard $(ARGS)

deploy: ## zraft in the Kubernetes cluster of the current context, by OVERLAY, in the namespace zraft (kubectl)
	kubectl create namespace zraft --dry-run=client --output yaml | kubectl apply --filename -
	kubectl apply --kustomize deploy/overlays/$(OVERLAY)
	$(KUBECTL) rollout status statefulset/zraft --timeout 5m

status: ## what runs there, and what the nodes tell of themselves (kubectl)
	$(KUBECTL) get statefulset,pods,services,persistentvolumeclaims,poddisruptionbudgets --selector app.kubernetes.io/name=zraft
	$(KUBECTL) exec statefulset/zraft -- zraft status

logs: ## the newest lines of the logs of all nodes there (kubectl)
	$(KUBECTL) logs --selector app.kubernetes.io/name=zraft --prefix --tail 100

clean-k8s: ## remove zraft from there; the data (PersistentVolumeClaims) stays (kubectl)
	kubectl delete --kustomize deploy/overlays/$(OVERLAY) --ignore-not-found
	@echo "The data is kept: kubectl --namespace zraft get persistentvolumeclaims"

lint: $(VENV)/.test ## ruff, mypy and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

schemas: $(VENV)/.runtime ## the wire protocol's schemas and tables anew, in proto_schemas/
	$(BIN)/python tools/schemas.py --write

docs: $(VENV)/.runtime ## what is generated anew: zraft/cli/README.md, the alert rules within deploy/*.yaml
	$(BIN)/python tools/cli_reference.py --write
	$(BIN)/python tools/alert_manifests.py --write

clean: ## remove .venv, build products and caches; never a node's data
	rm -rf $(VENV) build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . \( -path ./.git -o -path ./.zraft -o -path ./zraft-data \) -prune \
	    -o -type d -name __pycache__ -prune -exec rm -rf {} +
	@echo "Data of nodes under .zraft/ and zraft-data/ is kept: remove it yourself if you mean to."

# Stamps: the environment exists; zraft is installed in it to be run; and to be tested.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "zraft needs Python >= 3.11, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 | head -n 1)"; \
	    echo "Name another one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; \
	    exit 1; } >&2
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.created $(SETUP)
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.created $(SETUP)
	$(PIP_INSTALL) --editable '.[test]'
	@touch $(VENV)/.runtime $@
