//go:build !linux

package bytefd_test

// inventory is empty where there is no /proc.
type inventory struct{}

func takeInventory() inventory        { return inventory{} }
func (inventory) leftovers() []string { return nil }
