# Periscope: the few commands that a developer needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/periscope-k8s/periscope/internal/cli.version=$(VERSION)
BIN      := bin/periscope
FUZZTIME ?= 30s

# golangci-lint is built once from the Go module proxy, under its version.
LINT_VERSION := v2.15.0
LINT         := .tools/golangci-lint-$(LINT_VERSION)

export CGO_ENABLED ?= 0

.PHONY: help build run test test-race fuzz bench lint cross image clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/periscope, one static binary
	@go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/periscope

run: build ## The main job: collect this host into ./periscope (sudo makes it complete)
	$(BIN) collect --local

test: ## All tests: vet, every unit test, the race detector where there is a C compiler
	@./hack/test-deps.sh
	go vet ./...
	go test -timeout 5m ./...
	cd hack/image && go vet ./...
	cd test/cluster && go vet ./... && go test -timeout 5m ./...
	@if command -v gcc >/dev/null; then $(MAKE) --no-print-directory test-race; else echo "no C compiler: race tests left out"; fi

test-race: ## The tests again under the race detector
	CGO_ENABLED=1 go test -race -timeout 10m ./internal/...

fuzz: ## Every fuzz target for FUZZTIME (30s)
	@FUZZTIME=$(FUZZTIME) ./hack/fuzz.sh

bench: build ## Speed and memory against the compressor alone; prints the table of bench/README.md
	go run ./bench

lint: $(LINT) ## golangci-lint, built on first use
	$(LINT) run ./...

$(LINT):
	@mkdir -p .tools/build
	GOBIN=$(CURDIR)/.tools/build go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv .tools/build/golangci-lint $@

cross: ## Build and vet for every platform of the CLI
	@for p in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do \
	  echo "$$p"; GOOS=$${p%/*} GOARCH=$${p#*/} go vet ./... || exit 1; done

IMAGE ?= localhost/periscope:dev

image: ## The container image for amd64 and arm64 as bin/periscope.tar, without Docker
	@for a in amd64 arm64; do GOOS=linux GOARCH=$$a go build -trimpath -ldflags '$(LDFLAGS)' -o bin/periscope-linux-$$a ./cmd/periscope || exit 1; done
	cd hack/image && go run . -name $(IMAGE) -out ../../bin/periscope.tar linux/amd64=../../bin/periscope-linux-amd64 linux/arm64=../../bin/periscope-linux-arm64
	@echo "bin/periscope.tar holds $(IMAGE)"

BED := bin/bed
NODES ?= 3

.PHONY: cluster-up cluster-down cluster-status
$(BED): $(wildcard test/cluster/*.go test/cluster/cmd/bed/*.go) $(shell find test/cluster/assets test/cluster/components -type f)
	cd test/cluster && go build -o ../../$(BED) ./cmd/bed

cluster-up: $(BED) ## A real Kubernetes of NODES (3) nodes on this machine, as root; see test/cluster
	$(BED) up --nodes $(NODES)

cluster-down: $(BED) ## End it, or what is left of it
	$(BED) down

cluster-status: $(BED) ## Its nodes, control plane and memory
	$(BED) status

clean: ## Remove what the other targets made
	rm -rf bin .tools
