module github.com/bytefd/bytefd

go 1.22
