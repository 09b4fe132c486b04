//go:build lambda.norpc

package app

import (
	"os"
	"path/filepath"
)

// ownZones finds the time zone database of a function beside its program.
func ownZones() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return useZones(filepath.Dir(program))
}
