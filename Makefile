# Each of these is the one way to do it:
#   make demo [FILE=path]   the main job on real input, from C, Go and Rust
#   make check              format, lints and the fast tests, after every edit
#   make test               every test of every language that needs no other kernel
#   make test-kernels       the portable groups of the suite on Linux 5.10, 6.1 and 6.12
#   make test-arm64         the same groups on arm64, with pages of 4 KiB and of 16 KiB (an hour)
#   make test-musl          every function from C, linked statically with musl, on x86_64 and arm64
#   make test-targets       the same with glibc on s390x, which stores the highest byte first; 32 bits are refused
#   make inject             every fault at every system call of every exported function (minutes)
#   make soak [ROUNDS=20]   what is random or waits for a coincidence, so many times as often
#   make mutants            counts the faults in the core that the fast tests notice (an hour)
#   make lib                the release build, staged in dist/
#   make install            the same under $(DESTDIR)$(PREFIX)
#   make header             include/bytefd.h from the Rust sources, and its copy in go/
#   make bench              the speed of everything, side by side, in less than ten minutes; results in benches/results/
PREFIX  ?= /usr/local
DESTDIR ?=
FILE    ?= /bin/ls
ROUNDS  ?= 20

CARGO ?= cargo
GO    ?= go
CC    ?= cc

.PHONY: all demo check test test-kernels test-arm64 test-musl test-targets inject soak mutants lib header install bench clean

all: lib

lib:
	$(CARGO) rustc --release --locked --lib --crate-type staticlib
	scripts/stage $(or $(CARGO_TARGET_DIR),target)/release/libbytefd.a

install: lib
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 dist/include/bytefd.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 dist/lib/libbytefd.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 "$$(realpath dist/lib/libbytefd.so)" $(DESTDIR)$(PREFIX)/lib/
	find dist/lib -type l -exec cp -P {} $(DESTDIR)$(PREFIX)/lib/ \;
	install -m 644 dist/lib/pkgconfig/bytefd.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/

header:
	BYTEFD_WRITE_HEADER=1 $(CARGO) test --locked --test suite header::

demo: lib
	scripts/packages demo
	scripts/demo "$(FILE)"

check:
	scripts/packages check
	scripts/test check

test:
	scripts/packages test
	scripts/test test

test-kernels:
	scripts/packages kernels
	scripts/test kernels

test-arm64 test-musl test-targets: test-%:
	scripts/packages $*
	scripts/test $*

inject:
	scripts/packages test
	scripts/test inject

soak:
	scripts/packages test
	ROUNDS=$(ROUNDS) scripts/test soak

mutants:
	scripts/mutants

bench: lib
	scripts/packages bench || echo 'Rows of engines that are missing will say so.'
	$(CARGO) bench --locked --bench sizes --bench service --bench maps --bench share --bench streams
	$(GO) run ./benches/go

clean:
	$(CARGO) clean
	rm -rf dist build go/staged.go
