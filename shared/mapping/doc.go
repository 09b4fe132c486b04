// Package mapping turns the vendor's rows into records: by rules that nobody
// can turn off (who is a user, who is active, which session has times) and by a
// mapping that a connection may override. It is pure: no input, no output, no
// clock; the same row gives the same record (R18). Reading and storing rows are
// left to others, as are master sessions' storage, photos and fp_protect.
//
//	Compile(Settings) → *Set         once per connection
//	Set.For(Event)    → *Mapper      once per event and run; for any number of goroutines
//	Mapper.Row(raw)   → Row          once per row, then Users, Sponsors, Schedule, …
//
// # Columns
//
// An expression sees a row as columns:
//
//	fname                      a key of the row, or else the answer to the standard question fname
//	category.name              a key of a nested object
//	responses["7060"]          the answer to question 7060
//	responses.photo            the answer to the question whose text has the slug photo
//	responses.photo.choicekey  its choice instead of its text
//	row["preload-recordid"]    a key that is no plain name
//	descriptions.LANG          the key of the event's language, else eng, else the first that is filled
//	additional_details.descLANG  the same with something before it
//	speakers.speakerid         a key of every element of a list: several texts
//	session_tracks[0]          one element of a list
//	in_slot                    of sessions: the master session, filled after the rows are stored (R9)
//	pick.choicekey             of schedule: the agenda pick; also pick.sessionid and pick.response
//
// Where a row has a key and an answer of the same name, its own key wins unless
// it is empty. The columns that rules read (ids, status, category) are never
// taken from answers. Questions whose slugs collide are reached by id only
// (P18), as are agenda picks: they are named after sessions. An empty
// response falls back to its choice key. A list, or an object whose keys are
// numbers, gives several texts, or one text where it holds one; so do
// several answers to one question. The name or LANG of a plain text is the text
// itself, since the vendor sends a name in place of its object at times.
//
// All columns are texts, numbers too, with the digits they came with; JSON's
// true and false stay what they are. null, a missing key and a zero date (R8)
// are the empty text: compare with "", never with nil.
//
// # Expressions
//
// A column alone is the commonest expression and costs no more than reading it.
// The rest is expr-lang (github.com/expr-lang/expr): operators, ? :, let,
// literals, and of its functions those that are pure and cannot grow without
// bounds (see builtins). On top come:
//
//	first(a, b, …)      the first that is not blank
//	join([a, b], " ")   the texts that are not blank, put together; ", " by default
//	at(date, time)      date and time as one, nothing without either
//	phone(x)            parts between vertical bars joined by one blank
//	lang2(x)            eng → en; nothing where a language has no two letters
//	text(x)             plain text from HTML
//	slug(x)             a name made of x (P18)
//	lower(x) upper(x) trim(x)
//	has(x, "Vegan")     whether x, one text or several, includes a text
//
// A field finishes what its expression gives (spotme-model.md §5, P8, P9): plain
// texts are trimmed and their entities decoded, several texts are joined by a
// comma and a blank unless the field is a list, phones and languages are
// normalised, start and end become RFC 3339 in the event's zone. An
// expression that does not fit a row's values leaves its field out, with a
// warning; a filter that does not rejects the row.
//
// # Times
//
// Vendor times are wall times of the event. One that clocks show twice is the
// first of the two; one that they skip is read with the offset before the
// change. An end earlier than its start is on the next day; an equal one is
// kept. 00:00:00 is midnight, not nothing.
package mapping
