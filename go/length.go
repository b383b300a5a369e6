package bytefd

// Special lengths.
const (
	// ToEnd as a length means everything from the offset on, wherever that ends.
	ToEnd = -1
)
