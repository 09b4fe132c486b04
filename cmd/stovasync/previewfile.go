package main

import (
	"io"

	"github.com/spf13/cobra"

	"stovasync/shared/preview"
	"stovasync/shared/report"
)

// reportFlags name the files that a preview is written to besides.
type reportFlags struct{ html, xlsx string }

// standardOutput as the name of a file.
const standardOutput = "-"

func (f *reportFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.html, "html", "", "write the preview as a page that opens offline (- is standard output)")
	cmd.Flags().StringVar(&f.xlsx, "xlsx", "", "write the preview as a workbook (- is standard output)")
}

// check refuses what would mix two documents in one place.
func (f reportFlags) check(c *cli) error {
	switch {
	case f.html == standardOutput && f.xlsx == standardOutput, f.html != "" && f.html == f.xlsx:
		return invalid("name another file for one of them", "--html and --xlsx would be written to the same place")
	case f.piped() && c.json:
		return invalid("name a file, or leave --json out", "--json takes standard output for itself")
	case f.xlsx == standardOutput && c.terminal() != nil:
		return invalid("name a file, or send standard output to one", "a workbook is nothing to read on a terminal")
	default:
		return nil
	}
}

// piped reports whether standard output is taken by a report.
func (f reportFlags) piped() bool { return f.html == standardOutput || f.xlsx == standardOutput }

// write writes the reports and says where they are.
func (f reportFlags) write(c *cli, r preview.Report) error {
	for _, one := range []struct {
		file   string
		render func(io.Writer, preview.Report) error
	}{{f.html, report.PreviewHTML}, {f.xlsx, report.PreviewXLSX}} {
		switch one.file {
		case "":
		case standardOutput:
			if err := one.render(c.out, r); err != nil {
				return err
			}
		default:
			if err := report.WriteFile(one.file, func(w io.Writer) error { return one.render(w, r) }); err != nil {
				return err
			}
			c.say("Written: %s\n", one.file)
		}
	}
	return nil
}
