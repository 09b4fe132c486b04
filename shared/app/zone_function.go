//go:build lambda.norpc

package app

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"stovasync/shared/fault"
)

// zoneFile lies beside the bootstrap of each function: Go's own time zone
// database, which the Makefile puts there. In the program itself it would be
// half a megabyte, and the functions' runtime need not have one.
const zoneFile = "zoneinfo.zip"

// useZones makes the time zone database in a folder that of the process, before
// any zone has been asked for. The error is CONFIG_INVALID: without it every
// event's zone would be unknown.
func useZones(folder string) error {
	name := filepath.Join(folder, zoneFile)
	next := "deploy the stack again, as built by sam build or make functions"
	if _, err := os.Stat(name); err != nil {
		return fault.Wrap(fault.ConfigInvalid, err, "the time zone database "+zoneFile+" is not beside the program", next)
	}
	if err := os.Setenv("ZONEINFO", name); err != nil {
		return fmt.Errorf("time zone database: %w", err)
	}
	if _, err := time.LoadLocation("Europe/London"); err != nil {
		return fault.Wrap(fault.ConfigInvalid, err, "the time zone database "+zoneFile+" cannot be read", next)
	}
	return nil
}

// ownZones finds the time zone database of a function beside its program.
func ownZones() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return useZones(filepath.Dir(program))
}
