# The targets. Each one is the only way to do its work:
#   make demo [FILE=path]   runs the main job on real input, from C, Go and Rust
#   make check              runs format, lints and the fast tests, after every edit
#   make test               runs the tests of all languages for this machine
#   make test-kernels       runs the portable groups of the suite on Linux 5.10, 6.1 and 6.12
#   make test-msrv          builds the library with the oldest supported compiler, Debian 13's
#   make test-arm64         runs the portable groups on arm64, with pages of 4 KiB and of 16 KiB (half an hour or more)
#   make test-musl          calls every function from C, linked statically with musl, on x86_64 and arm64
#   make test-targets       calls them with glibc on s390x, which stores the highest byte first; checks that 32 bits fail
#   make inject             causes every fault at every system call of every exported function (minutes)
#   make inject-kernels     causes a part of these faults on Linux 5.10, 6.1 and 6.12 (an hour)
#   make soak [ROUNDS=20]   repeats tests that are random or wait for a coincidence, ROUNDS times as often
#   make fuzz [ROUNDS=20]   tries random options, map operations, control messages, names and lines of /proc/self/maps
#   make sanitize           runs AddressSanitizer and ThreadSanitizer over the core, with the nightly compiler
#   make miri               runs unit tests without system calls in Miri, with the nightly compiler
#   make mutants            counts the faults in the core that the fast tests notice (hours; it can be interrupted)
#   make lib                stages the release build with programs and manual pages in dist/ and for Go in go/lib/
#   make install            installs dist/ below $(DESTDIR) in PREFIX, or in BINDIR, LIBDIR, INCLUDEDIR and MANDIR
#   make uninstall          removes what make install of the same dist/ and directories has installed
#   make go-module          makes the Go module of a release in build/go-module/, and serves it in build/go-proxy/
#   make header             generates include/bytefd.h from the Rust sources, and its copy in go/
#   make abi                generates abi/bytefd.abi, the binary interface that the tests compare with
#   make bench              measures the speed of everything, side by side, in less than ten minutes; results in benches/results/
PREFIX  ?= /usr/local
DESTDIR ?=
BINDIR     = $(PREFIX)/bin
LIBDIR     = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
MANDIR     = $(PREFIX)/share/man
FILE    ?= /bin/ls
ROUNDS  ?= 20

CARGO ?= cargo
GO    ?= go
CC    ?= cc

directories = PREFIX='$(PREFIX)' BINDIR='$(BINDIR)' LIBDIR='$(LIBDIR)' INCLUDEDIR='$(INCLUDEDIR)' MANDIR='$(MANDIR)' \
	DESTDIR='$(DESTDIR)'

.PHONY: all demo check test test-kernels inject inject-kernels soak fuzz sanitize miri mutants lib go-module header abi install uninstall bench clean test-msrv test-arm64 test-musl test-targets

all: lib

lib:
	$(CARGO) rustc --release --locked --lib --crate-type staticlib
	scripts/stage $(or $(CARGO_TARGET_DIR),target)/release/libbytefd.a
	scripts/programs

# The library is compiled only if nothing is staged, so that root needs no cargo.
install: $(if $(wildcard dist/lib),,lib)
	$(directories) scripts/install install

uninstall:
	$(directories) scripts/install uninstall

go-module: lib
	scripts/packages go
	scripts/go-module build $(foreach libc,gnu musl,$(addsuffix -unknown-linux-$(libc),x86_64 aarch64))

header:
	BYTEFD_WRITE_HEADER=1 $(CARGO) test --locked --test suite header::the_headers

abi:
	scripts/packages test
	BYTEFD_WRITE_ABI=1 $(CARGO) test --locked --test suite abi::the_interface

demo: lib
	scripts/packages demo
	scripts/demo "$(FILE)"

check:
	scripts/packages check
	scripts/test check

test:
	scripts/packages test
	scripts/packages clients || echo 'Tests of clients that are missing are skipped, and counted as ignored.'
	scripts/test test

test-kernels:
	scripts/packages kernels
	scripts/test kernels

test-msrv:
	scripts/packages check
	scripts/test msrv

test-arm64 test-musl test-targets: test-%:
	scripts/packages $*
	scripts/test $*

inject fuzz sanitize:
	scripts/packages test
	ROUNDS=$(ROUNDS) scripts/checks $@

inject-kernels:
	scripts/packages kernels
	scripts/checks $@

soak:
	scripts/packages test
	ROUNDS=$(ROUNDS) scripts/test soak

miri mutants:
	scripts/checks $@

bench: lib
	scripts/packages bench || echo 'Rows of engines that are missing will say so.'
	$(CARGO) bench --locked --bench sizes --bench service --bench maps --bench share --bench streams
	$(GO) run ./benches/go

clean:
	$(CARGO) clean
	rm -rf dist build go/lib/*/libbytefd.a
