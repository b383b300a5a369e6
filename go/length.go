package bytefd

// Lengths that are no number of bytes.
const (
	// ToEnd is everything from the offset on, wherever that ends.
	ToEnd = -1
)
