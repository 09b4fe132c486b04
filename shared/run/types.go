package run

import (
	"fmt"
	"slices"
	"strings"
)

// DataType is one of the eight kinds of data a connection syncs.
type DataType string

// The eight data types, named as on SpotMe's pages.
const (
	Users           DataType = "users"
	Sessions        DataType = "sessions"
	Presenters      DataType = "presenters"
	PresenterPhotos DataType = "presenter-photos"
	UserPhotos      DataType = "user-photos"
	Sponsors        DataType = "sponsors"
	SponsorLevels   DataType = "sponsor-levels"
	Schedule        DataType = "schedule"
)

// AllTypes returns the eight data types in the order in which people list them.
func AllTypes() []DataType {
	return []DataType{Users, Sessions, Presenters, PresenterPhotos, UserPhotos, Sponsors, SponsorLevels, Schedule}
}

// synonyms are the other names SpotMe has used for its data types
// (spotme-model.md §1), folded as foldName does.
var synonyms = map[string]DataType{
	"user": Users, "participant": Users, "participants": Users, "people": Users, "persons": Users, "person": Users, "appusers": Users,
	"session":   Sessions,
	"presenter": Presenters, "speaker": Presenters, "speakers": Presenters,
	"presenterphoto": PresenterPhotos, "speakerphotos": PresenterPhotos, "speakerphoto": PresenterPhotos,
	"userphoto": UserPhotos, "usersphotos": UserPhotos, "personphotos": UserPhotos, "personphoto": UserPhotos,
	"sponsor": Sponsors, "sponsorlevel": SponsorLevels,
	"sessionregistrations": Schedule, "sessionregistration": Schedule, "registrationstosessions": Schedule, "schedules": Schedule,
}

func foldName(s string) string {
	return strings.NewReplacer(" ", "", "-", "", "_", "").Replace(strings.ToLower(strings.TrimSpace(s)))
}

// ParseType reads a data type by its name or one of its synonyms, whatever the
// case, blanks, hyphens or underscores.
func ParseType(s string) (DataType, error) {
	f := foldName(s)
	for _, t := range AllTypes() {
		if foldName(string(t)) == f {
			return t, nil
		}
	}
	if t, ok := synonyms[f]; ok {
		return t, nil
	}
	return "", fmt.Errorf("unknown data type %q", s)
}

// Stream is what a type run lists. The photo types list the store's own records.
type Stream string

// The vendor's streams, and the two lists of pictures.
const (
	Attendees             Stream = "attendees"
	SessionStream         Stream = "sessions"
	Speakers              Stream = "speakers"
	PresenterPhotosStream Stream = "presenter-photos"
	UserPhotosStream      Stream = "user-photos"
)

// Stream returns the stream that t views.
func (t DataType) Stream() Stream {
	switch t {
	case Sessions:
		return SessionStream
	case Presenters:
		return Speakers
	case PresenterPhotos:
		return PresenterPhotosStream
	case UserPhotos:
		return UserPhotosStream
	default:
		return Attendees
	}
}

// IsPhotos reports whether t is one of the two photo types.
func (t DataType) IsPhotos() bool { return t == PresenterPhotos || t == UserPhotos }

// Owner returns the data type whose records own the pictures of t, or "".
func (t DataType) Owner() DataType {
	switch t {
	case PresenterPhotos:
		return Presenters
	case UserPhotos:
		return Users
	default:
		return ""
	}
}

// RecordType returns the fp_type of t's records (spotme-model.md §5.1, P11).
func (t DataType) RecordType() string {
	return map[DataType]string{
		Users: "person", Sessions: "session", Presenters: "presenter",
		PresenterPhotos: "presenter_photo", UserPhotos: "person_photo",
		Sponsors: "sponsor", SponsorLevels: "sponsor_level", Schedule: "session_registration",
	}[t]
}

// leaders is the order in which the types that view attendees lead their stream.
var leaders = []DataType{Users, SponsorLevels, Sponsors, Schedule}

// Leader returns the type of in that plans and fetches stream s, or "" when no
// type of in views s.
func Leader(in []DataType, s Stream) DataType {
	if s != Attendees {
		for _, t := range in {
			if t.Stream() == s {
				return t
			}
		}
		return ""
	}
	for _, t := range leaders {
		if slices.Contains(in, t) {
			return t
		}
	}
	return ""
}

// Gates returns the types of in that must have ended before t may be planned:
// the gates of design.md §3. A type that is not in the run closes no gate.
func Gates(t DataType, in []DataType) []DataType {
	var gates []DataType
	add := func(g DataType) {
		if g != "" && g != t && slices.Contains(in, g) && !slices.Contains(gates, g) {
			gates = append(gates, g)
		}
	}
	add(t.Owner())
	if t == Schedule {
		add(Users)
		add(Sessions)
	}
	if t.Stream() == Attendees {
		add(Leader(in, Attendees))
	}
	return gates
}

// Dependents returns the types of in whose gates name t.
func Dependents(t DataType, in []DataType) []DataType {
	var deps []DataType
	for _, d := range in {
		if slices.Contains(Gates(d, in), t) {
			deps = append(deps, d)
		}
	}
	return deps
}
