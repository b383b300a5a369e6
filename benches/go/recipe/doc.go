// Package recipe has the usual steps of programs without this module, one by one, through cgo. The
// benchmark compares with it. It is a package because test files cannot use cgo.
package recipe
