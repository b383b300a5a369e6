package bytefd

import (
	"os"
	"syscall"
)

// ScanBytes calls scan with a descriptor that contains b, and closes it when scan returns, panics
// or calls runtime.Goexit. It returns the error of scan. Calls may be nested.
//
// Every call makes a new file, so nothing of one scan can ever show in another; [Pool.ScanBytes] is
// many times faster for callbacks that belong together.
//
// The number is only lent. scan may duplicate, map and reopen the descriptor and keep those; if it
// closes the number itself, and the number stands for another file by then, that file is left
// alone. Do not pass it to os.NewFile, whose finalizer would close it again later: use [ScanFile]
// to get an *os.File.
//
// When there is no descriptor to lend, scan is not called, and the error is that of [WrapBuffer].
// EINVAL if scan is nil.
func ScanBytes(b []byte, scan func(fd int) error, opts ...WrapOption) error {
	if scan == nil {
		return errNoCallback
	}
	fd, loan, err := scanBegin(b, nil, newWrapOptions(opts))
	if err != nil {
		return err
	}
	defer scanEnd(loan)
	return scan(fd)
}

// ScanFile is [ScanBytes] with an *os.File. It is a duplicate of the descriptor that is lent,
// close-on-exec whatever the options are, and is closed when scan returns, panics or calls
// runtime.Goexit; scan may close it before.
func ScanFile(b []byte, scan func(f *os.File) error, opts ...WrapOption) error {
	if scan == nil {
		return errNoCallback
	}
	return ScanBytes(b, lendFile(scan, newWrapOptions(opts)), opts...)
}

// lendFile makes a callback that takes a file one that takes a number.
func lendFile(scan func(f *os.File) error, o wrapOptions) func(fd int) error {
	return func(fd int) error {
		duplicate, err := duplicate(fd)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(duplicate), o.fileName())
		defer f.Close()
		return scan(f)
	}
}

var errNoCallback = &Error{"scan", syscall.EINVAL, "scan is nil"}
