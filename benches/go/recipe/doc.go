// Package recipe is what programs do without this module: the usual steps, one by one, through cgo.
// The benchmark compares with it; it is here because test files cannot use cgo.
package recipe
