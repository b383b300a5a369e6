// Package marked copies from and to mapped memory in a way that the library's handler for SIGBUS
// knows. At a lost page the handler ends the copy instead of replacing the page. See "The guard" in
// ARCHITECTURE.md. Without the handler, Go handles the fault.
//
// This is a separate package because a package with cgo cannot have Go assembly.
package marked
