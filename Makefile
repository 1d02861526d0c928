# bt: what there is to do with it. `make` builds bin/bt.

GO      ?= go
PREFIX  ?= /usr/local
UNITDIR ?= $(PREFIX)/lib/systemd/system
FUZZTIME ?= 10s

# bt needs no C library; without one it starts in half the time.
export CGO_ENABLED ?= 0

# What packages and manual pages call this version, and its day: a tag, or the commit.
VERSION ?= $(shell ./scripts/version.sh)
DATE    ?= $(shell ./scripts/version.sh date)

# What belongs into PREFIX/share.
SHARE := build/share

.PHONY: all build share install install-systemd install-init dist dist-test manifests picture test test-arm64 race lint fuzz hostile bench diff golden demo e2e attack ci clean

all: build

build:
	$(GO) build -o bin/ ./cmd/...

# Manual pages and the shells' completions. They are written by bt's own code, for the
# machine that builds.
share:
	rm -rf $(SHARE)
	GOOS= GOARCH= GOFLAGS=-buildvcs=false $(GO) run -tags generate ./cmd/bt $(SHARE) "bt $(VERSION)" $(DATE)
	sed 's/@VERSION@/bt $(VERSION)/; s/@DATE@/$(DATE)/' packaging/man/bt-debuginfod.1 > $(SHARE)/man/man1/bt-debuginfod.1

install: build share
	install -D -m 0755 bin/bt $(DESTDIR)$(PREFIX)/bin/bt
	install -D -m 0755 bin/bt-debuginfod $(DESTDIR)$(PREFIX)/bin/bt-debuginfod
	find $(SHARE) -type f | while read -r f; do install -D -m 0644 $$f $(DESTDIR)$(PREFIX)/share/$${f#$(SHARE)/}; done

# What registers the gate DSO at boot, and makes bt the crash handler: to be enabled by
# hand.
install-systemd:
	install -d $(DESTDIR)$(UNITDIR)
	for unit in bt-gate bt-crash; do \
		sed 's|/usr/local/bin/bt|$(PREFIX)/bin/bt|' packaging/systemd/$$unit.service > $(DESTDIR)$(UNITDIR)/$$unit.service; \
		chmod 0644 $(DESTDIR)$(UNITDIR)/$$unit.service; \
	done

install-init:
	install -D -m 0755 packaging/init.d/bt-gate $(DESTDIR)/etc/init.d/bt-gate

# What a release consists of, in build/dist: see scripts/dist.sh.
dist:
	./scripts/dist.sh build/dist

# Checks the manifests for Kubernetes against the types of its API.
manifests:
	cd packaging/kubernetes/check && $(GO) run . ../*.yaml ../*.json

# The picture in README.md, of real output.
picture: build
	./scripts/picture.sh

# Makes it twice, and installs and removes the packages (Debian, root).
dist-test:
	./scripts/disttest.sh

# Skipped tests are listed with what they need; BT_TEST_STRICT=1 makes a
# skipped test a failure, BT_FULL=1 takes the large samples.
test: build
	./scripts/test.sh

# Tests that look at nothing but bytes, as programs for arm64 (needs qemu-user).
PURE := ./stack $(addprefix ./internal/,arch arch/all escape fault gate gate/store names/gdbjit names/jitmap \
	names/kallsyms names/mangled render render/flame render/folded render/json render/perf render/pprof \
	render/text source trust unwind waits)

test-arm64:
	GOARCH=arm64 $(GO) test -short -exec qemu-aarch64 $(PURE)

race:
	CGO_ENABLED=1 $(GO) test -race $(RACEFLAGS) ./...

lint:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt -l: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags generate ./cmd/bt
	GOARCH=arm64 $(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet . ./stack ./maps ./elfsym ./symbolize
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.6.2 run

# Every fuzz target for FUZZTIME each: a time, or a number of inputs, 5000x.
fuzz:
	./scripts/fuzz.sh $(FUZZTIME)

# Damaged files and text by the thousand, and as many with damaged debug information; HOSTILEFLAGS='-seed 2' takes others.
hostile:
	$(GO) test ./internal/hostile -count=1 -timeout 30m -args -inputs 10000 $(HOSTILEFLAGS)

# Three minutes. What runs against other programs makes five rounds at least.
bench:
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 0.4s ./...

# Compare names, source lines and inlined calls with those of other tools, on all that
# is on the machine, and on what its compilers make: some minutes. DIFFFLAGS=-seed=2 takes other random addresses.
diff:
	$(GO) test ./internal/namediff -run 'TestDiff|TestRust|TestStrippedGo|TestLines' -count=1 -v -timeout 60m -args -full $(DIFFFLAGS)

# Write the expected outputs of the command-line tests anew.
golden:
	$(GO) test ./cmd/bt -update

# A program stopped across a signal handler, before and after the gate DSO is
# registered.
demo: build
	./scripts/demo.sh bin/bt

# The same on kernels of its own, booted in qemu, with the sysctl that names the
# gate DSO. E2EFLAGS=--update writes the expected answers anew.
e2e:
	./scripts/e2e.sh $(E2EFLAGS)

# A hostile user against an installed crash handler, in a machine that is thrown
# away; part of e2e.
attack:
	./scripts/e2e.sh attack

ci: lint test race
	$(MAKE) fuzz FUZZTIME=10000x

clean:
	rm -rf bin build
