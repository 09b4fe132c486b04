package stovatest

import "slices"

// index finds rows by id. It is built anew after every edit.
type index struct {
	people     map[string]*Person
	speakers   map[string]*Speaker
	sessions   map[Pick]*Session
	categories map[Category]string
	pages      map[string]string
	locations  map[string]string
	files      map[string]bool // uploaded files and image ids that exist
}

func newIndex(e *Event) *index {
	x := &index{
		people: make(map[string]*Person, len(e.People)), speakers: make(map[string]*Speaker, len(e.Speakers)),
		sessions: make(map[Pick]*Session, len(e.Sessions)), categories: map[Category]string{},
		pages: map[string]string{}, locations: map[string]string{}, files: map[string]bool{},
	}
	for _, p := range e.People {
		x.people[p.ID] = p
		x.files[p.Photo], x.files[p.Logo] = true, true
	}
	for _, s := range e.Speakers {
		x.speakers[s.ID] = s
		x.files[s.Image] = true
	}
	for _, s := range e.Sessions {
		x.sessions[Pick{s.ID, s.Key}] = s
	}
	for _, c := range e.Categories {
		x.categories[Category{Name: c.Name, Sub: c.Sub}] = c.ID
	}
	for _, p := range e.Pages {
		x.pages[p.ID] = p.Name
	}
	for _, l := range e.Locations {
		x.locations[l.Name] = l.ID
	}
	for name := range e.Pictures {
		x.files[name] = true
	}
	delete(x.files, "")
	delete(x.files, "0")
	return x
}

// categoryID is "-1" for a name that the event's table does not hold; such ids
// were seen (stova-api.md §6).
func (x *index) categoryID(name string, sub bool) string {
	if id, ok := x.categories[Category{Name: name, Sub: sub}]; ok {
		return id
	}
	return "-1"
}

func (x *index) page(id string) string { return x.pages[id] }

func (x *index) locationID(name string) string { return x.locations[name] }

func (x *index) sessionName(p Pick) string {
	if s := x.sessions[p]; s != nil {
		return s.Name
	}
	return "Session that is gone"
}

// hasSession says whether any key of a session id exists.
func (x *index) hasSession(e *Event, id string) bool {
	return slices.ContainsFunc(e.Sessions, func(s *Session) bool { return s.ID == id })
}
