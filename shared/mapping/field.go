package mapping

import (
	"slices"

	"stovasync/shared/run"
)

// kind says what a target field holds, and so how its value is finished.
type kind int

const (
	kindCustom kind = iota // a user's own field: text, or what an expression made
	kindText               // plain text: entities decoded, ends trimmed (P9)
	kindHTML               // may hold HTML: kept, ends trimmed (P9)
	kindPhone              // parts joined by one blank (P9)
	kindLang               // two letters
	kindFile               // a file name or id; "0" is none (stova-api.md §7.13)
	kindList               // list of texts
	kindTags               // list of tracks: an id becomes the track's name (P8)
	kindInt                // whole number
	kindTime               // date and time, handled with its pair
	kindSlot               // in_slot: the finish of sessions fills it (R9, §10)
	kindLevel              // a sponsor's level: follows sponsor-levels.name
)

// slotColumn is the column the connector adds to sessions (spotme-model.md §10).
const slotColumn = "in_slot"

// known returns the fields of spotme-model.md §5 that a mapping may name.
func known(t run.DataType) map[string]kind {
	switch t {
	case run.Users:
		return map[string]kind{"fname": kindText, "lname": kindText, "email": kindText, "title": kindText,
			"position": kindText, "company": kindText, "country": kindText, "phone": kindPhone,
			"biography": kindHTML, "photo": kindFile, "external_qr_value": kindText,
			"registrationtype": kindText, "fp_locale": kindLang, "attendance_type": kindText}
	case run.Sessions:
		return map[string]kind{"name": kindText, "start": kindTime, "end": kindTime, "location": kindText,
			"content": kindHTML, "tag": kindTags, "tag_color": kindText, "presenters": kindList,
			slotColumn: kindSlot, "capacity": kindInt, "targets": kindList}
	case run.Presenters:
		return map[string]kind{"fname": kindText, "lname": kindText, "title": kindText, "position": kindText,
			"company": kindText, "country": kindText, "biography": kindHTML, "email": kindText, "photo": kindFile}
	case run.Sponsors:
		return map[string]kind{"name": kindText, "level": kindLevel, "description": kindHTML, "website": kindText,
			"email": kindText, "phone": kindPhone, "logo": kindFile, "country": kindText, "city": kindText}
	case run.SponsorLevels:
		return map[string]kind{"name": kindText, "order": kindInt}
	default:
		return map[string]kind{}
	}
}

// envelope are the fields every record has that are computed or belong to the
// store (spotme-model.md §5.1, interface.md): no mapping may name them (R11).
var envelope = []string{"fp_ext_id", "fp_type", "fp_status", "fp_owner", "fp_protect", "fp_last_changes",
	"source_lastmodified", "content_hash", "updated_at", "fetched_at", "run", "created_run", "removed_at",
	"photo_object", "pending", "pk", "sk"}

// computed are the locked fields of one type (spotme-model.md §5).
func computed(t run.DataType) []string {
	switch t {
	case run.Sessions:
		return []string{"is_master", "timezone"}
	case run.Schedule:
		return []string{"parent_doc_id", "status"}
	case run.PresenterPhotos, run.UserPhotos:
		return []string{"owner_type", "owner_ext_id", "source_url", "object_key", "photo_hash", "content_type", "bytes",
			"width", "height", "etag", "state"}
	default:
		return nil
	}
}

func locked(t run.DataType, field string) bool {
	return slices.Contains(envelope, field) || slices.Contains(computed(t), field)
}

// Field is one field of a type's mapping, for reports.
type Field struct {
	Name       string
	Expression string
	Default    bool // from the default mapping, not from the connection
}
