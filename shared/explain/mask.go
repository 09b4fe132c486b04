package explain

import (
	"slices"

	"stovasync/shared/preview"
)

// plain are fields that are no person's data: links by ids, places, and what
// the product computes.
var plain = []string{"in_slot", "level", "presenters", "parent_doc_id", "status", "is_master", "timezone", "start", "end", "order",
	"fp_locale", "registrationtype", "photo_object", "object_key", "photo_hash", "state", "owner_type", "owner_ext_id", "content_type",
	"bytes", "width", "height", "fetched_at", "reason"}

// mask hides a value of the vendor's.
func mask(v any) any { return preview.Mask(v) }

// shown is a field's value as explanations show it: masked, unless it holds
// nothing of a person.
func shown(field string, v any) any {
	if slices.Contains(plain, field) {
		return v
	}
	return mask(v)
}
