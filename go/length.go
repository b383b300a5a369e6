package bytefd

// Lengths that are no number of bytes.
const (
	// ToEnd as a length is everything from the offset on, wherever that ends.
	ToEnd = -1
)
