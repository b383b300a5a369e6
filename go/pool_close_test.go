//go:build linux && cgo

package bytefd_test

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"

	bytefd "github.com/bytefd/bytefd/go"
)

func TestClosingAPoolFreesItsFilesAndTwiceIsFine(t *testing.T) {
	before := takeInventory()
	p := newPool(t, 64<<20)
	for i := 0; i < 5; i++ {
		lendsExactly(t, p, pattern(i*page))
		lendsExactly(t, p, pattern(i*page), bytefd.WrapTrustCallback())
	}
	if len(before.leftovers()) == 0 {
		t.Error("the pool keeps nothing")
	}
	for i := 0; i < 3; i++ {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		for _, leftover := range before.leftovers() {
			t.Error("left over:", leftover)
		}
	}
}

func TestUseOfAClosedPoolIsErrClosed(t *testing.T) {
	closed := newPool(t, 1<<20)
	lendsExactly(t, closed, []byte("hello"))
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*bytefd.Pool{"closed": closed, "never made": new(bytefd.Pool)} {
		called := func(int) error { t.Error("called"); return nil }
		stats, statsErr := p.Stats()
		for _, err := range []error{
			p.ScanBytes([]byte("hello"), called),
			p.ScanBytes(nil, called, bytefd.WrapTrustCallback()), p.Trim(0), p.Trim(-1),
			statsErr,
		} {
			isError(t, err, syscall.EBADF)
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: %v is not os.ErrClosed", name, err)
			}
		}
		if stats != (bytefd.PoolStats{}) {
			t.Errorf("%s: %+v", name, stats)
		}
		if err := p.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACallbackMayCloseThePool(t *testing.T) {
	ways := map[string][]bytefd.WrapOption{"pool": nil, "trusted": {bytefd.WrapTrustCallback()}}
	for name, opts := range ways {
		t.Run(name, func(t *testing.T) {
			before := takeInventory()
			p := newPool(t, 1<<20)
			want := pattern(page + 1)
			for _, b := range [][]byte{[]byte("kept"), want} {
				err := p.ScanBytes(b, func(outer int) error {
					return p.ScanBytes(want, func(fd int) error {
						if !bytes.Equal(b, want) {
							return nil // the first time
						}
						if err := p.Close(); err != nil {
							t.Error(err)
						}
						err := p.ScanBytes(want, func(int) error { return nil })
						if !errors.Is(err, os.ErrClosed) {
							t.Error(err)
						}
						isPromised(t, fd, want)
						isPromised(t, outer, want)
						return nil
					}, opts...)
				}, opts...)
				if err != nil {
					t.Error(err)
				}
			}
			for _, leftover := range before.leftovers() {
				t.Error("left over:", leftover)
			}
		})
	}
}

func TestClosingWhileOthersScanIsSafe(t *testing.T) {
	before := takeInventory()
	for round := 0; round < 50; round++ {
		p := newPool(t, 1<<20)
		started := make(chan struct{}, 8)
		var group sync.WaitGroup
		for g := 0; g < 8; g++ {
			group.Add(1)
			go func() {
				defer group.Done()
				var opts []bytefd.WrapOption
				if g%4 == 3 {
					opts = append(opts, bytefd.WrapTrustCallback())
				}
				got := make([]byte, 5000)
				for i := 0; ; i++ {
					want := filled(byte(8*i+g), 1+i*97%4000)
					err := p.ScanBytes(want, func(fd int) error {
						n, err := syscall.Pread(fd, got, 0)
						if !bytes.Equal(got[:n], want) {
							t.Error("the content is another's")
						}
						return err
					}, opts...)
					if err == nil && i%10 == g {
						_, err = p.Stats()
					}
					if err == nil && i%20 == g {
						err = p.Trim(page)
					}
					if i == 0 {
						started <- struct{}{}
					}
					if errors.Is(err, os.ErrClosed) {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		for g := 0; g < 8; g++ {
			<-started
		}
		for i := 0; i < 2; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			}()
		}
		group.Wait()
	}
	for _, leftover := range before.leftovers() {
		t.Error("left over:", leftover)
	}
}

func TestAPoolThatIsDroppedIsFreed(t *testing.T) {
	before := takeInventory()
	func() {
		lendsExactly(t, must[*bytefd.Pool](t)(bytefd.NewPool(1<<20)), []byte("hello"))
	}()
	for len(before.leftovers()) > 0 {
		runtime.GC()
	}
}

func TestAPoolInUseIsNotCollected(t *testing.T) {
	for i := 0; i < 20; i++ {
		p := must[*bytefd.Pool](t)(bytefd.NewPool(1 << 20))
		lendsExactly(t, p, []byte("hello"))
		// No callback and no other code refers to the pool any more.
		want := pattern(page)
		if err := p.ScanBytes(want, func(fd int) error {
			runtime.GC()
			runtime.GC()
			isPromised(t, fd, want)
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	runtime.GC()
}
