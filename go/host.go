package bytefd

// HostReport returns a text with one line for each choice that the library makes on this host: what
// it uses, and why. Each line begins with its subject ("files: ") and ends with a newline. The text
// is for people and logs. Its words may change.
//
// HostReport tries each choice once. It makes a small file, one that is large enough for a huge
// page, and one of a pool, and removes all of them.
//
// Errors are those of [WrapBuffer].
func HostReport() (string, error) {
	// Enough for this version. A longer text is asked for again.
	return hostReport(1024)
}
