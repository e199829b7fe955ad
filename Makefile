# Two commands: `make demo` runs the main job, `make test` runs every test. Each installs what it needs.
.PHONY: setup demo test bench check format docs fuzz peers-table hosts chaos power-loss evaluation databases false-alarms second-look runtimes

setup:
	@setup/environment.sh

demo: setup
	.venv/bin/delineate demo --out build/demo

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# Bytecode is kept, since each of four processes would rewrite and compile every test for itself.
test: setup
	@setup/debian.sh
	@setup/peers.sh
	$(MAKE) --no-print-directory check
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 .venv/bin/pytest -n 4 --dist loadfile --no-loadscope-reorder

# All benchmarks, or one by its name: `make bench-rtstruct`. Each leaves build/bench/NAME.json.
bench: setup
	@setup/debian.sh
	PYTHONPATH=tests .venv/bin/python -m benchmarks

bench-%: setup
	@setup/debian.sh
	PYTHONPATH=tests .venv/bin/python -m benchmarks $*

# Kills anything at any time while CTs are under way, then counts: build/chaos.json and a picture beside it.
SERIES ?= 200
DATABASE ?= sqlite
chaos: setup
	@setup/debian.sh
	PYTHONPATH=tests .venv/bin/python -m faults.chaos --series $(SERIES) --database $(DATABASE) $(if $(SEED),--seed $(SEED))

# 60 phantom CTs contoured, edited in known ways, sent back and measured, and the model that follows promoted.
evaluation: setup
	@setup/debian.sh
	EVALUATION=long .venv/bin/pytest -m evaluation tests/acceptance/test_evaluation_end_to_end.py

# Reviews, the look by night, shadows and what follows the structure set: whole nodes on SQLite and on PostgreSQL.
databases: setup
	@setup/debian.sh
	DELINEATE_EVERY_DATABASE=1 .venv/bin/pytest $(addprefix tests/acceptance/test_,set_leaves_first.py reviews_come_back.py \
		shadow_holds_nobody_up.py evaluation_end_to_end.py)

# Models from elsewhere beside the programs that made them: nnU-Net and MONAI in an environment of their own (2.8 GB).
runtimes: setup
	.venv/bin/python tests/peers/make_environment.py torch
	OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 --dist loadfile -m runtimes

# Cuts the power of the disk that spool and database lie on (root only): build/power-loss.json.
CUTS ?= 50
power-loss: setup
	@setup/debian.sh
	PYTHONPATH=tests .venv/bin/python -m faults.power_loss --cuts $(CUTS) --database $(DATABASE) $(if $(SEED),--seed $(SEED))

# Hostile bytes for SECONDS, guided by coverage; corpus and findings stay in build/fuzz.
SECONDS ?= 600
fuzz: setup
	@.venv/bin/python -c 'import atheris' 2>/dev/null || .venv/bin/pip install -q -c constraints.txt atheris
	PYTHONPATH=tests .venv/bin/python -m fuzz --seconds $(SECONDS)

# What peers may do wrong, done to the node, DCMTK and Orthanc by turns: build/peers/table.md.
peers-table: setup
	@setup/debian.sh
	PYTHONPATH=tests .venv/bin/python -m peer_faults

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

docs: setup
	.venv/bin/delineate reference > docs/configuration.md
	.venv/bin/delineate schema > docs/config.schema.json

# Hosts that share a node, cut off, frozen and killed at random (as root): `SECONDS=600 make hosts`. Leaves build/hosts.json.
hosts: setup
	@setup/debian.sh
	PYTHONPATH=tests .venv/bin/python -m hosts --seconds $(or $(SECONDS),600)

# How often a control chart tells of a drift that is none, by simulation: the table of docs/quality.md.
false-alarms: setup
	PYTHONPATH=tests .venv/bin/python -m simulation

# Clean and spoiled CT contoured and looked at as the node does (PHANTOMS=12): build/second-look.json and .md.
second-look: setup
	PYTHONPATH=tests .venv/bin/python -m corrupted --phantoms $(or $(PHANTOMS),12) $(if $(DATA),--data $(DATA))
