package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"stovasync/shared/fault"
	"stovasync/shared/run"
)

// begin looks at what comes before any row: the settings, the stored record,
// and whether the person was erased.
func (w *walk) begin(ctx context.Context) error {
	if err := w.load(ctx); err != nil {
		return err
	}
	if slices.Contains(w.conn.DataTypes, w.req.Type) {
		w.pass("type", "%s is one of the connection's data types", w.req.Type)
	} else {
		w.stop("type", "%s is not among the connection's data types (dataTypes), so no run reads it", w.req.Type)
	}
	set, err := w.env.Connector.Mapping(w.conn)
	if err != nil {
		w.refused(err)
	} else {
		w.set = set
		w.pass("R11", "fp_ext_id and fp_status are computed; no mapping names them or another locked field")
		if w.statuses() {
			w.pass("R3", "activeStatuses is %s", strings.Join(w.conn.ActiveStatuses, ", "))
		}
	}
	return w.erased(ctx)
}

// load reads the stored record.
func (w *walk) load(ctx context.Context) error {
	got, err := w.env.Records.Get(ctx, w.conn.Name, w.req.Type, []string{w.out.ID})
	if err != nil {
		return fmt.Errorf("read %s %s: %w", w.req.Type, w.out.ID, err)
	}
	w.record = got[w.out.ID]
	if w.record.ID == "" {
		return nil
	}
	w.out.Run = w.record.Run
	w.out.Stored = w.there()
	w.out.State = w.record.Status
	if !w.there() {
		w.out.State, w.out.RemovedAt = removedState, whole(w.record.RemovedAt)
	}
	return nil
}

// statuses reports whether the type asks for the active statuses.
func (w *walk) statuses() bool {
	return w.req.Type == run.Users || w.req.Type == run.Sponsors || w.req.Type == run.Schedule
}

// refused says which rule the settings break: no run reads anything until they
// are mended.
func (w *walk) refused(err error) {
	told := false
	for _, f := range faults(err) {
		rule := "mapping"
		switch {
		case f.Code == fault.MappingLocked:
			rule = "R11"
		case f.Code == fault.ConfigInvalid && strings.Contains(f.Msg, "activeStatuses"):
			rule = "R3"
		}
		w.stop(rule, "every run refuses the settings: %s", f.Error())
		told = true
	}
	if !told {
		w.stop("mapping", "every run refuses the settings: %s", err)
	}
	w.out.Next = w.command("connections", "put", "FILE")
}

// faults are the coded errors of a tree, in order.
func faults(err error) []*fault.Error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*fault.Error
		for _, e := range joined.Unwrap() {
			all = append(all, faults(e)...)
		}
		return all
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return []*fault.Error{f}
	}
	return nil
}

// erased asks whether an erase keeps the person out. Then nothing else is told.
func (w *walk) erased(ctx context.Context) error {
	attendee := w.person()
	if w.env.Suppressed == nil || attendee == "" {
		return nil
	}
	out, err := w.env.Suppressed(ctx, w.conn, attendee)
	if err != nil || !out {
		return err
	}
	w.out.DecidedBy = "" // an erase goes before everything
	w.out.Rules, w.hidden = []Rule{}, true
	w.stop("erased", "kept out by an erase")
	return nil
}

// person is the attendee that the id is about, or "".
func (w *walk) person() string {
	switch w.req.Type {
	case run.Users, run.Sponsors, run.UserPhotos:
		return w.out.ID
	case run.Schedule:
		attendee, _, _ := strings.Cut(w.out.ID, "_")
		return attendee
	default:
		return ""
	}
}
