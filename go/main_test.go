package bytefd_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/bytefd/bytefd/go/internal/alarm"
)

// TestMain fails the suite when something is left over after the tests, and prints what. Labels and
// temporary directories carry the test's name, so what is printed names its maker too.
func TestMain(m *testing.M) {
	alarm.Set()
	before := takeInventory()
	code := m.Run()
	for _, leftover := range before.leftovers() {
		fmt.Fprintln(os.Stderr, "left over:", leftover)
		code = 1
	}
	os.Exit(code)
}
