// Package marked copies from and to mapped memory, in a way that the library's handler for SIGBUS
// knows: the copy ends at a lost page, and the handler does not replace the page. See "The guard"
// in ARCHITECTURE.md. Where the handler is not in place a lost page is what Go makes of it. The
// package is a separate one because a package with cgo has no assembly of Go's.
package marked
