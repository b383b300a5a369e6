package bytefd

import "syscall"

// ScanBytes lends a descriptor that holds b to scan, closes it afterwards, and returns what scan returned.
//
// Every call makes a new file, so nothing of one scan can ever show in another; [Pool.ScanBytes] is many times faster for
// callbacks that belong together. The descriptor is closed whether scan
// returns, panics or calls runtime.Goexit. Calls may be nested.
//
// The number is only lent. scan may duplicate, map and reopen the descriptor and keep those; if it closes the number
// itself, and the number stands for another file by then, that file is left alone. Do not give it to os.NewFile, whose
// file the garbage collector closes some day, when the number may be somebody else's: [Reopen] gives an *os.File.
//
// When there is no descriptor to lend, scan is not called, and the error is that of [WrapBuffer]. EINVAL if scan is nil.
func ScanBytes(b []byte, scan func(fd int) error, opts ...Option) error {
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

var errNoCallback = &Error{"scan", syscall.EINVAL, "scan is nil"}
