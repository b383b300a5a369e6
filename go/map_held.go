package bytefd

import "runtime"

// holdMap makes a map for reading of bytes that are memory of Go. Making a mapping takes longer
// than making a small file.
func holdMap(b []byte) *Map {
	if b == nil {
		b = []byte{}
	}
	m := &Map{data: b[:len(b):len(b)], isForReading: true}
	m.users.Store(1)
	m.isHeld.Store(true)
	return m
}

// needMapping maps a file of the bytes that such a map holds. Methods that need a mapping call it
// first.
func (m *Map) needMapping() error {
	if m == nil || !m.isHeld.Load() {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isHeld.Load() {
		return nil
	}
	fd, err := wrap(m.data, newWrapOptions(nil))
	if err != nil {
		return err
	}
	defer closeNumber(fd)
	handle, data, err := mapFD(fd, &mapOptions{length: ToEnd, access: accessRead})
	if err != nil {
		return err
	}
	m.handle = handle
	if !m.isGiven.Load() {
		m.data = data
	}
	m.isHeld.Store(false)
	runtime.SetFinalizer(m, (*Map).Close)
	return nil
}
