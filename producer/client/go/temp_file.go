package fusionai

import "os"

// tempFile is a file on disk that is gone once it is closed, and on most systems when the program dies.
type tempFile struct {
	*os.File
	named bool
}

func newTempFile() (*tempFile, error) {
	file, err := os.CreateTemp("", "fusionai-*.jsonl")
	if err != nil {
		return nil, err
	}
	return &tempFile{file, os.Remove(file.Name()) != nil}, nil
}

// Close closes the file, and deletes it where an open one cannot be.
func (f *tempFile) Close() error {
	err := f.File.Close()
	if f.named {
		os.Remove(f.Name())
	}
	return err
}
