package bytefd

// HostReport returns one line for each choice the library makes on this host: what it uses, and
// why. Each line begins with its subject ("files: ") and ends with a newline. It is for people and
// logs; the words may change.
//
// It finds out by doing: a small file, one that is worth a huge page, one that is kept. Nothing of
// that is left.
//
// Errors are those of [WrapBuffer].
func HostReport() (string, error) {
	// As many bytes as are enough in this version; one that says more is asked again.
	return hostReport(1024)
}
