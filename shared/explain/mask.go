package explain

import (
	"slices"

	"stovasync/shared/mapping"
	"stovasync/shared/preview"
	"stovasync/shared/run"
)

// locked are the fields of a type that no mapping may fill (R11): what they hold
// is ours, or the vendor's ids. in_slot is filled by the finish of sessions,
// whatever it is mapped to (R9).
func locked(t run.DataType) []string {
	own := []string{"photo_object"}
	switch t {
	case run.Sessions:
		return append(own, "in_slot", "is_master", "timezone")
	case run.Schedule:
		return append(own, "parent_doc_id", "status")
	case run.UserPhotos, run.PresenterPhotos: // which have no mapping at all
		return append(own, "owner_type", "owner_ext_id", "object_key", "photo_hash", "content_type", "bytes", "width", "height",
			"fetched_at", "state", "reason")
	default:
		return own
	}
}

// impersonal are the fields of a type that the default mapping fills from
// columns which say nothing of a person.
func impersonal(t run.DataType) []string {
	return map[run.DataType][]string{
		run.Users:    {"registrationtype", "fp_locale"},
		run.Sessions: {"start", "end", "presenters"},
		run.Sponsors: {"level"},
	}[t]
}

// mask hides a value of the vendor's.
func mask(v any) any { return preview.Mask(v) }

// kept is a stored value as explanations show it. An earlier mapping may have
// filled it from any column, so only a locked field is shown as it is.
func (w *walk) kept(field string, v any) any {
	if slices.Contains(locked(w.req.Type), field) {
		return v
	}
	return mask(v)
}

// shown is what the row gives a field, as explanations show it: masked, unless
// no person's data can be in it under this mapping.
func (w *walk) shown(f mapping.Field, v any) any {
	usual := f.Default && slices.Contains(impersonal(w.req.Type), f.Name)
	if usual && (f.Name != "level" || w.usualLevels()) {
		return v
	}
	return w.kept(f.Name, v)
}

// usualLevels reports whether the default mapping names the levels, whose ids
// are made of their names.
func (w *walk) usualLevels() bool {
	return w.set != nil && slices.ContainsFunc(w.set.Fields(run.SponsorLevels), func(f mapping.Field) bool { return f.Name == "name" && f.Default })
}
