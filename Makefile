# Each of these is the one way to do it:
#   make demo [FILE=path]   the main job on real input, from C, Go and Rust
#   make test               every test of every language
#   make lib                the release build, staged in dist/
#   make install            the same under $(DESTDIR)$(PREFIX)
#   make header             include/bytefd.h from the Rust sources
#   make mutants            counts the faults in the core that the fast tests notice (an hour)
#   make bench              the speed of everything, side by side; results in benches/results/
PREFIX  ?= /usr/local
DESTDIR ?=
FILE    ?= /bin/ls

CARGO ?= cargo
GO    ?= go
CC    ?= cc

.PHONY: all demo test mutants lib header install bench clean

all: lib

lib:
	$(CARGO) build --release --locked --lib
	scripts/stage $(or $(CARGO_TARGET_DIR),target)/release dist

install: lib
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 dist/include/bytefd.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 dist/lib/libbytefd.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 dist/lib/libbytefd.so.0 $(DESTDIR)$(PREFIX)/lib/
	ln -sf libbytefd.so.0 $(DESTDIR)$(PREFIX)/lib/libbytefd.so
	install -m 644 dist/lib/pkgconfig/bytefd.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/

header:
	BYTEFD_WRITE_HEADER=1 $(CARGO) test --locked --test suite header::

demo: lib
	scripts/packages demo
	scripts/demo "$(FILE)"

test:
	scripts/packages test
	scripts/test

mutants:
	scripts/mutants

bench: lib
	$(CARGO) bench --locked --bench sizes --bench maps --bench share
	BYTEFD_BENCH_KEEP=1 $(GO) test -count=1 -run '^$$' -bench . ./go

clean:
	$(CARGO) clean
	rm -rf dist build
