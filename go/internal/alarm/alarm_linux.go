// Package alarm ends tests that hang. It counts the processor time that they use, not the seconds
// since their start. So a machine that is loaded with other work never sets it off. Tests run with
// "-timeout 0" under it.
package alarm

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	tick = 5 * time.Second

	// patience is how long this process may be idle before its descendants are checked. From then
	// on it is also how long these may be idle.
	patience = 5 * time.Minute

	// idle is the share of a processor below which a process counts as idle: it waits, or polls.
	idle = 0.1

	// most is the processor time that the tests of a package may use. They need a small part of it.
	most = 20 * time.Minute
)

// Set starts the alarm. When it goes off, it prints what every goroutine does, and ends the
// process.
func Set() {
	go func() {
		var used, idleFor, usedByAll time.Duration
		for range time.Tick(tick) {
			before := used
			if used = usedHere(); used >= most {
				goOff("%v of processor time used", used)
			}
			if idleFor += tick; !isIdle(used-before, tick) {
				idleFor, usedByAll = 0, 0
			}
			if idleFor < patience {
				continue
			}
			// Only now, because it needs descriptors, which tests count.
			before, usedByAll = usedByAll, usedByFamily()
			if before != 0 && isIdle(usedByAll-before, patience) {
				goOff("idle for %v", 2*patience)
			}
			idleFor = 0
		}
	}()
}

func isIdle(used, of time.Duration) bool {
	return used < time.Duration(idle*float64(of))
}

func goOff(format string, why time.Duration) {
	debug.SetTraceback("all")
	panic("HUNG: " + fmt.Sprintf(format, why))
}

// usedHere returns the processor time of this process and of children that it has waited for.
func usedHere() (used time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if err := syscall.Getrusage(who, &usage); err != nil {
			panic(err)
		}
		used += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	return used
}

// usedByFamily returns the processor time of this process and its descendants, proc_pid_stat(5).
func usedByFamily() time.Duration {
	type process struct {
		parent int
		ticks  int64
	}
	all := map[int]process{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // It has ended.
		}
		number, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		// The fields before are the program's name, which may contain anything.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		var found process
		found.parent, _ = strconv.Atoi(fields[1])
		for _, field := range fields[11:15] {
			ticks, _ := strconv.ParseInt(field, 10, 64)
			found.ticks += ticks
		}
		all[number] = found
	}
	var ticks int64
	for number, found := range all {
		// Process numbers may be reused while they are read. No chain is longer than the number of
		// processes.
		for range all {
			if number == os.Getpid() {
				ticks += found.ticks
				break
			}
			number = all[number].parent
		}
	}
	const perSecond = 100 // USER_HZ
	return time.Duration(ticks) * time.Second / perSecond
}
