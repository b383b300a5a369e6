package bytefd

// HostReport returns a text with one line for each choice that the library makes on this host: what
// it uses, and why. Each line begins with its subject ("files: ") and ends with a newline. The text
// is for people and logs. Its words may change.
//
// HostReport tries each way once: it makes a small file, a file that is large enough for a huge
// page, and a file of a pool. It removes all of them.
//
// Errors are those of [WrapBuffer].
func HostReport() (string, error) {
	// Enough for this version. A longer text is asked for again.
	return hostReport(1024)
}
