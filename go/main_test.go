package bytefd_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/bytefd/bytefd/go/internal/alarm"
)

// TestMain fails the suite if the tests leave something behind, and prints it. Labels and temporary
// folders have the name of their test, so the output shows which test it was.
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
