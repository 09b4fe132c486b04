package report

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"stovasync/shared/fault"
)

// WriteFile makes a file of what render writes: all of it, or, when anything
// fails, whatever stood there before. Only the owner may read the file, since a
// report is about people even where it is masked. A path that is a folder, or
// whose folder is missing or closed to us, is CONFIG_INVALID; a disk that is
// full is STORE_UNAVAILABLE. Errors of render come back as they are.
func WriteFile(path string, render func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fault.New(fault.ConfigInvalid, path+" is not a file", "name a file to write to")
	}
	// Made with mode 0600, in the folder of the file: a rename keeps to one disk.
	temp, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return unwritable(path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, gone(temp.Name()))
		}
	}()
	b := bufio.NewWriter(temp)
	if err := render(b); err != nil {
		return errors.Join(refused(path, err), temp.Close())
	}
	if err := errors.Join(b.Flush(), temp.Sync(), temp.Close()); err != nil {
		return unwritable(path, err)
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return unwritable(path, err)
	}
	return nil
}

// gone removes what was half written; that it is not there is as good.
func gone(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// refused tells an error of the disk, which render passes on, from render's own.
func refused(path string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return unwritable(path, err)
	}
	return err
}

// unwritable says why a report cannot be where it should be. The path is the
// operator's own word; the system's error may hold that of the temporary file.
func unwritable(path string, err error) error {
	reason := "the system refused"
	for _, known := range [...]struct {
		is   error
		text string
	}{
		{fs.ErrNotExist, "its folder does not exist"},
		{fs.ErrPermission, "its folder may not be written to"},
		{syscall.ENOTDIR, "its folder is a file"},
		{syscall.EROFS, "the disk is read-only"},
	} {
		if errors.Is(err, known.is) {
			reason = known.text
		}
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Wrap(fault.StoreUnavailable, err, "write "+path+": the disk is full", "make room or name a file elsewhere")
	}
	return fault.Wrap(fault.ConfigInvalid, err, "write "+path+": "+reason, "name a file that can be written")
}
