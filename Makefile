.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
STUBS := proto/facestream/v1
# Where google/rpc/status.proto lies: googleapis-common-protos installs it beside its code.
GOOGLEAPIS = $(shell $(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")
PROTOC = $(BIN)/python -m grpc_tools.protoc -I proto -I $(GOOGLEAPIS) \
	--python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(STUBS)/*.proto

export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.server: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	touch $@

$(VENV)/.everything: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev,trainer]'
	touch $@ $(VENV)/.server

install: $(VENV)/.server ## install the server and the clients into .venv
setup: $(VENV)/.everything ## install everything for development, the trainer included

models: $(VENV)/.server ## fetch and convert the default models, once
	$(BIN)/facestream-models fetch --all

format: setup ## format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: setup ## style, imports, docstrings
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: setup ## mypy --strict
	$(BIN)/mypy server clients trainer demo

layers: setup ## who may import whom
	$(BIN)/lint-imports

proto: setup ## generate the stubs beside the .proto files
	$(call PROTOC,proto)

proto-check: setup ## the stubs are those of the .proto files, and these follow the style guide
	rm -rf build/proto-check && mkdir -p build/proto-check
	$(call PROTOC,build/proto-check)
	diff -r --exclude='*.proto' --exclude=__pycache__ $(STUBS) build/proto-check/facestream/v1
	cp -r $(GOOGLEAPIS)/google build/proto-check/google
	find build/proto-check/google -type f -not -name '*.proto' -delete
	cp proto/buf.yaml build/proto-check/ && cp $(STUBS)/*.proto build/proto-check/facestream/v1/
	cd build/proto-check && buf lint --path facestream

docs: setup ## make the generated parts of the docs anew
	$(BIN)/python -m tests.repo.modules_page

test: setup models ## set everything up and run the tests
	$(BIN)/pytest --numprocesses auto --dist loadfile --ignore tests/e2e \
		|| $(BIN)/pytest --ignore tests/e2e --last-failed --last-failed-no-failures none
	$(BIN)/pytest tests/e2e

EMULATED = $(BIN)/python -m tests.emulated_gpu
emulated-gpu: setup ## build the emulated GPU of test-emulated-gpu, once: two or three minutes
	$(EMULATED) -c ""

test-emulated-gpu: emulated-gpu models ## what needs a GPU, on an emulated one: pycuda, cuda-bindings, NVRTC, not TensorRT
	$(EMULATED) -m pytest --numprocesses auto tests/emulated_gpu
	FACESTREAM_EMULATED_SCHEDULE=1 $(EMULATED) -m pytest --numprocesses auto -m gpu tests/conformance tests/repo
	FACESTREAM_WITHOUT_PYCUDA=1 $(EMULATED) -m pytest --numprocesses auto -m gpu tests/conformance

check: lint types layers proto-check test test-emulated-gpu ## everything that CI checks

bench-accuracy: setup models ## LFW with every default pair of models, and with the server's default precision
	$(BIN)/python -m tests.benchmarks.accuracy; missed=$$?; \
	$(BIN)/python -m tests.benchmarks.accuracy --runtime auto --detector yunet+centerface --embedder sface/2021dec \
		&& exit $$missed

bench-gallery: setup ## search and restart with 100,000 people
	$(BIN)/python -m tests.benchmarks.gallery

bench-clusters: setup models ## strangers: online clustering against offline, cost per face, false names, confidence
	$(BIN)/python -m tests.benchmarks.clusters

bench-mining: setup ## triplet mining against pytorch-metric-learning
	$(BIN)/python -m tests.trainer.bench_mining

bench-training: setup ## triplet training against pytorch-metric-learning
	$(BIN)/python -m tests.trainer.bench_training

peers: setup ## what `make bench` compares with, in an environment of its own
	test -d build/peers || $(PYTHON) -m venv build/peers
	build/peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/benchmarks/peers.txt

bench: setup models peers ## many cameras against a real server, and against OpenCV and face_recognition
	$(BIN)/python -m tests.benchmarks.cameras

bench-quick: setup models peers ## a tenth of it: does everything run
	$(BIN)/python -m tests.benchmarks.cameras --quick

bench-gpu: setup models ## engines on an NVIDIA GPU, beside what else runs there
	$(BIN)/python -m tests.benchmarks.gpu

bench-sightings: setup ## 10,000 random operations on strangers, with restarts and kills: does the past follow
	$(BIN)/python -m tests.benchmarks.sightings

bench-stream: setup models ## a camera at 15 frames/s against a real server
	$(BIN)/python -m tests.benchmarks.stream

demo: models ## enrol people, stream a video, look at the outcome
	$(BIN)/python -m demo

train-demo: setup models ## train on drawn people, export, and let a server recognise with the result
	$(BIN)/python -m demo.learning

clean: ## remove what was built; models and data stay
	rm -rf build dist demo/out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: help install setup models format lint types layers proto proto-check docs test emulated-gpu test-emulated-gpu check peers \
	bench bench-quick bench-accuracy bench-clusters bench-gallery bench-gpu bench-mining bench-sightings bench-stream \
	bench-training demo train-demo clean
