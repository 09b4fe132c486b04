package explain

import (
	"context"
	"fmt"
	"strings"

	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// split tells users from sponsors (R4 to R6).
func (w *walk) split(ctx context.Context) error {
	other := run.Sponsors
	if w.req.Type == run.Sponsors {
		other = run.Users
	}
	got, err := w.env.Records.Get(ctx, w.conn.Name, other, []string{w.out.ID})
	if err != nil {
		return fmt.Errorf("read %s %s: %w", other, w.out.ID, err)
	}
	twin := got[w.out.ID]
	tr := w.trace
	switch {
	case tr == nil && twin.ID != "" && twin.RemovedAt.IsZero() && twin.Status == "active" && !w.there():
		w.stop("R4", "it is stored as one of the %s, and nobody is both", other)
		w.out.Next = w.command("explain", w.conn.Name, string(other), w.out.ID)
	case tr == nil:
		return nil
	case tr.Result.Outcome == mapping.NotOwn:
		w.stop("R4", "%s", w.notOwn(tr))
		w.out.Next = w.command("explain", w.conn.Name, string(other), w.out.ID)
	case tr.Sponsor:
		w.pass("R4", "%s “%s” makes it a sponsor", tr.CategoryColumn, tr.Category)
	default:
		w.pass("R4", "%s: not a sponsor", category(tr))
	}
	if tr != nil {
		w.compared(tr)
		w.moved(tr, twin, other)
	}
	return nil
}

func (w *walk) notOwn(tr *mapping.TraceResult) string {
	if tr.Sponsor {
		return fmt.Sprintf("%s is “%s”: the attendee is a sponsor, never a user", tr.CategoryColumn, tr.Category)
	}
	return fmt.Sprintf("%s: the attendee is a user, no sponsor", category(tr))
}

func category(tr *mapping.TraceResult) string {
	if tr.Category == "" {
		return "it has no category"
	}
	return fmt.Sprintf("%s is “%s”", tr.CategoryColumn, tr.Category)
}

// compared says how the category was compared (R5): whole, trimmed, without case.
func (w *walk) compared(tr *mapping.TraceResult) {
	has := strings.Contains(strings.ToLower(tr.Category), strings.ToLower(tr.SponsorCategory))
	switch {
	case tr.Sponsor && tr.Category != tr.SponsorCategory:
		w.info("R5", "“%s” is “%s”, since blanks at the ends and case do not count", tr.Category, tr.SponsorCategory)
	case !tr.Sponsor && has:
		w.info("R5", "“%s” is not “%s”: the whole name decides, not a part of it", tr.Category, tr.SponsorCategory)
		w.tell("R5", "its category “%s” only contains “%s”, which makes no sponsor", tr.Category, tr.SponsorCategory)
	default:
		w.pass("R5", "the category is compared as a whole, without case and blanks at its ends")
	}
}

// moved says whether the attendee was of the other type before (R6).
func (w *walk) moved(tr *mapping.TraceResult, twin pipeline.Record, other run.DataType) {
	own := tr.Result.Outcome != mapping.NotOwn
	switch {
	case !own && w.there() && w.statusProtected():
		w.info("R6", "its category has changed, but fp_status is protected (R19): the record stays %s", w.record.Status)
		w.tell("R19", "fp_status is protected, so the record of before stays %s", w.record.Status)
	case !own && w.there() && w.record.Status != "cancelled":
		w.info("R6", "its category has changed: the next run that reads it ends this record")
		w.tell("R6", "the next run that reads it ends this record")
	case !own && w.there():
		w.info("R6", "its category has changed: this record was ended as %s by run %s, and the attendee lives on among the %s", w.record.Status, w.record.Run, other)
		w.tell("R6", "the record of before was ended as %s when the category changed", w.record.Status)
	case own && twin.ID != "" && twin.RemovedAt.IsZero():
		w.info("R6", "its category has changed: its record among the %s was ended as %s by run %s", other, twin.Status, twin.Run)
		w.tell("R6", "it was one of the %s before: that record is %s", other, twin.Status)
	default:
		w.pass("R6", "it has no record among the %s", other)
	}
}

// activity tells the status (R1, R2).
func (w *walk) activity(tr *mapping.TraceResult) {
	set := strings.Join(w.conn.ActiveStatuses, ", ")
	status := "“" + tr.Registration + "”"
	if tr.Registration == "" {
		status = "empty"
	}
	if tr.Active {
		w.pass("R1", "registrationstatus is %s, one of %s: active", status, set)
		w.pass("R2", "inactivePolicy (%s) is for those outside the active statuses", tr.Policy)
		return
	}
	w.info("R1", "registrationstatus is %s, not one of %s: not active", status, set)
	kept := w.there() && w.statusProtected()
	if kept {
		w.tell("R19", "fp_status is protected, so it stays %s", w.record.Status)
	}
	stored := map[string]string{"cancel": "cancelled", "hide": "hidden"}[tr.Policy]
	if stored == "" {
		w.stop("R2", "registrationstatus is %s, not one of %s (R1), and inactivePolicy is skip: such people are left out", status, set)
		return
	}
	w.tell("R1", "registrationstatus is %s, not one of %s", status, set)
	if kept {
		w.info("R2", "inactivePolicy is %s: it would be stored as %s, were fp_status not protected (R19)", tr.Policy, stored)
		return
	}
	w.info("R2", "inactivePolicy is %s: it is stored as %s", tr.Policy, stored)
	w.tell("R2", "inactivePolicy is %s", tr.Policy)
}

// badge tells what external_qr_value is (R15).
func (w *walk) badge(tr *mapping.TraceResult) {
	if w.req.Type != run.Users || tr.Result.Outcome != mapping.Mapped {
		return
	}
	for _, f := range tr.Fields {
		if f.Name != "external_qr_value" {
			continue
		}
		switch {
		case f.Value == tr.Result.ID:
			w.pass("R15", "external_qr_value is the attendee's id, as on badges that carry it")
		case f.Value == nil:
			w.info("R15", "external_qr_value is mapped to %s, which is empty here: the badge will not be known", f.Expression)
		default:
			w.info("R15", "external_qr_value is mapped to %s and is not the attendee's id", f.Expression)
		}
		return
	}
	w.info("R15", "external_qr_value is unmapped: map it to attendeeid when badges carry the vendor's ids")
}
