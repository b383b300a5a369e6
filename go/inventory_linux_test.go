package bytefd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// inventory is what a process can leave behind: descriptors, file mappings, and names in /dev/shm.
type inventory struct {
	descriptors map[string]string // number: what it stands for
	mappings    map[string]bool   // paths
	names       map[string]bool
}

func takeInventory() inventory {
	return inventory{openDescriptors(), mappedFiles(), sharedNames()}
}

// leftovers returns what was added since. It does not run the garbage collector first, so values
// that only the collector would close count too.
func (before inventory) leftovers() (found []string) {
	for number, link := range openDescriptors() {
		if before.descriptors[number] != link {
			info, _ := os.ReadFile("/proc/self/fdinfo/" + number)
			flags := strings.Join(strings.Fields(string(info)), " ")
			found = append(found, fmt.Sprintf("descriptor %s, %s (%s)", number, link, flags))
		}
	}
	for path := range mappedFiles() {
		if !before.mappings[path] {
			found = append(found, "mapping of "+path)
		}
	}
	for name := range sharedNames() {
		if !before.names[name] {
			found = append(found, "the name "+name)
		}
	}
	return found
}

func openDescriptors() map[string]string {
	open := map[string]string{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, entry := range entries {
		link, err := os.Readlink("/proc/self/fd/" + entry.Name())
		// The descriptor that listed the directory is closed by now. The two of the poller belong
		// to the runtime.
		if err != nil || link == "anon_inode:[eventpoll]" || link == "anon_inode:[eventfd]" {
			continue
		}
		open[entry.Name()] = link
	}
	return open
}

// mappedFiles returns the paths of mapped memory files and temporary files.
func mappedFiles() map[string]bool {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		panic(err)
	}
	mapped := map[string]bool{}
	for _, line := range strings.Split(string(maps), "\n") {
		_, path, found := strings.Cut(line, "/")
		path = "/" + path
		for _, place := range []string{"/memfd:", "/dev/shm/", filepath.Clean(os.TempDir()) + "/"} {
			if found && strings.HasPrefix(path, place) {
				mapped[path] = true
			}
		}
	}
	return mapped
}

// sharedNames returns the names that this process, or one that has ended, has made up, and owned
// names that no process holds. Other running processes, such as another run of the tests, remove
// their own.
func sharedNames() map[string]bool {
	names := map[string]bool{}
	found, _ := filepath.Glob("/dev/shm/bytefd*")
	for _, name := range found {
		if isLeft(name) {
			// The test that made the name may have removed it meanwhile.
			if _, err := os.Lstat(name); err == nil {
				names[name] = true
			}
		}
	}
	return names
}

func isLeft(name string) bool {
	base := filepath.Base(name)
	if strings.HasPrefix(base, "bytefd-owned.") {
		file, err := os.Open(name)
		if err != nil {
			return false
		}
		defer file.Close()
		return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	}
	process, err := strconv.Atoi(base[strings.LastIndexByte(base, '-')+1:])
	return err != nil || process == os.Getpid() || syscall.Kill(process, 0) == syscall.ESRCH
}
