package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// nearest suggests the known word closest to the one that was given, or else
// gives otherwise.
func nearest(word string, known []string, otherwise string) string {
	best, distance := "", len(word)/2+1
	for _, k := range known {
		if d := slip(word, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return otherwise
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// nearestFlag suggests the flag of a command that was probably meant where one
// is unknown, or else gives otherwise.
func nearestFlag(cmd *cobra.Command, err error, otherwise string) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return otherwise
	}
	best, distance := "", len(unknown.GetSpecifiedName())/2+1
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if d := slip(unknown.GetSpecifiedName(), f.Name); d < distance && !f.Hidden {
			best, distance = f.Name, d
		}
	})
	if best == "" {
		return otherwise
	}
	return "did you mean --" + best + "?"
}

// slip is how far a word is from a known one: in changes of a letter, where
// case, hyphens and the like do not count.
func slip(word, known string) int {
	fold := strings.NewReplacer("-", "", "_", "", " ", "")
	return levenshtein.ComputeDistance(fold.Replace(strings.ToLower(word)), fold.Replace(strings.ToLower(known)))
}

// connection reads the settings of a connection; one that is not there is told
// with the name that was probably meant.
func (c *cli) connection(ctx context.Context, at *site, name string) (run.Connection, error) {
	conn, err := at.Steps.Ledger.Connection(ctx, name)
	if fault.CodeOf(err) != fault.ConfigInvalid {
		return conn, err
	}
	names, err := connectionNames(ctx, at)
	if err != nil {
		return run.Connection{}, err
	}
	removed, err := at.Steps.Ledger.Removed(ctx)
	if err != nil {
		return run.Connection{}, err
	}
	if slices.Contains(removed, name) {
		return run.Connection{}, invalid("to use it, put it again, with connections put FILE",
			"connection %q was removed; what it has stored, if anything, is still there", name)
	}
	otherwise := "there are: " + strings.Join(names, ", ")
	if len(names) == 0 {
		otherwise = "there are none yet: connections put FILE makes one"
	}
	return run.Connection{}, invalid(nearest(name, names, otherwise), "no connection %q", name)
}

// knownConnection accepts the name of a connection, or of one that was removed:
// its failures outlive it.
func (c *cli) knownConnection(ctx context.Context, at *site, name string) error {
	_, unknown := c.connection(ctx, at, name)
	if unknown == nil {
		return nil
	}
	removed, err := at.Steps.Ledger.Removed(ctx)
	if err == nil && slices.Contains(removed, name) {
		return nil
	}
	return cmp.Or(err, unknown)
}

func connectionNames(ctx context.Context, at *site) ([]string, error) {
	all, err := at.Steps.Ledger.Connections(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Settings.Name
	}
	return names, nil
}

// dataType reads the name of a data type, or one of its synonyms.
func dataType(word string) (run.DataType, error) {
	t, err := run.ParseType(word)
	if err == nil {
		return t, nil
	}
	var known []string
	for _, t := range run.AllTypes() {
		known = append(known, string(t))
	}
	return "", invalid(nearest(word, known, "there are: "+strings.Join(known, ", ")), "no data type %q", word)
}

// dataTypes reads the values of --type: repeated, or with commas between them.
// None gives nil, which stands for all that are enabled.
func dataTypes(values []string) ([]run.DataType, error) {
	var types []run.DataType
	for _, v := range values {
		for word := range strings.SplitSeq(v, ",") {
			if strings.TrimSpace(word) == "" {
				continue
			}
			t, err := dataType(word)
			if err != nil {
				return nil, err
			}
			types = append(types, t)
		}
	}
	return types, nil
}

// count writes a number with its noun: 1 page, 2 pages.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
