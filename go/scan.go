package bytefd

import (
	"os"
	"syscall"
)

// ScanBytes calls scan with a descriptor that contains b, and closes the descriptor when scan
// returns, panics or calls runtime.Goexit. It returns the error of scan. Calls may be nested.
//
// Each call makes a new file, so no content of one scan can show in another. [Pool.ScanBytes]
// reuses files, which is faster from some kilobytes on.
//
// The descriptor is only lent. scan may duplicate, map and reopen it, and may keep those. scan may
// also close the descriptor: if its number then refers to another file, ScanBytes leaves that file
// alone. Do not pass the number to os.NewFile, whose finalizer would close it again later.
// [ScanFile] lends an *os.File.
//
// If no file can be made, scan is not called, and the error is that of [WrapBuffer]. EINVAL if scan
// is nil.
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

// ScanFile is [ScanBytes] with an *os.File. The *os.File is a duplicate of the descriptor that
// ScanBytes would lend, and is always close-on-exec. [WrapInherit] affects only the original, whose
// number scan does not see. To give the file to a child, use exec.Cmd.ExtraFiles. The file is
// closed when scan returns, panics or calls runtime.Goexit; scan may close it earlier.
func ScanFile(b []byte, scan func(f *os.File) error, opts ...WrapOption) error {
	if scan == nil {
		return errNoCallback
	}
	return ScanBytes(b, lendFile(scan, newWrapOptions(opts)), opts...)
}

// lendFile makes a callback that takes a number out of one that takes a file.
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
