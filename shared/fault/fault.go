// Package fault holds the error codes that users see, and the two questions
// a caller may ask of any error: which code, and is trying again of any use.
//
// It sits below every other package, so that settings, mapping, the vendor's
// client and the steps speak of failures in one way. Texts and anchors for
// people are in docs/errors.md.
package fault

import (
	"errors"
	"strings"
)

// Code names a kind of failure. Codes are stable: programs may match them.
type Code string

// The codes of the project's interface; each has an anchor in docs/errors.md.
const (
	StovaAuth        Code = "STOVA_AUTH"        // the account or key was refused
	StovaEvent       Code = "STOVA_EVENT"       // the event is unknown or forbidden
	StovaRate        Code = "STOVA_RATE"        // too many calls (429)
	StovaServer      Code = "STOVA_SERVER"      // 5xx, connection refused, host not found
	StovaTooLarge    Code = "STOVA_TOO_LARGE"   // an answer over the vendor's 10 MB
	StovaTimeout     Code = "STOVA_TIMEOUT"     // no answer in time
	StovaBody        Code = "STOVA_BODY"        // an answer that is not what the API says
	ConfigInvalid    Code = "CONFIG_INVALID"    // a setting or argument
	MappingLocked    Code = "MAPPING_LOCKED"    // a mapping names a locked field (R11)
	MappingInvalid   Code = "MAPPING_INVALID"   // a mapping or filter that does not compile
	GateUsersFirst   Code = "GATE_USERS_FIRST"  // user photos before users (R13)
	PhotoHost        Code = "PHOTO_HOST"        // a picture's address is not allowed
	PhotoType        Code = "PHOTO_TYPE"        // a picture that is none by its bytes
	PhotoTooLarge    Code = "PHOTO_TOO_LARGE"   // a picture over the limit
	RowNoID          Code = "ROW_NO_ID"         // a row without its id
	RowNoTimes       Code = "ROW_NO_TIMES"      // a session without start or end (R7)
	RowPoison        Code = "ROW_POISON"        // a row whose detail call keeps failing
	RemovalRefused   Code = "REMOVAL_REFUSED"   // more removals than the limit (R20)
	TaskLost         Code = "TASK_LOST"         // a task nobody finished
	StoreUnavailable Code = "STORE_UNAVAILABLE" // queue, ledger, records or objects failed
	RunActive        Code = "RUN_ACTIVE"        // another run of the connection is under way
	EraseKey         Code = "ERASE_KEY"         // erasure entries without the key they were made with
)

// Codes returns every code, in the order of docs/errors.md.
func Codes() []Code {
	return []Code{
		StovaAuth, StovaEvent, StovaRate, StovaServer, StovaTooLarge, StovaTimeout, StovaBody,
		ConfigInvalid, MappingLocked, MappingInvalid, GateUsersFirst, PhotoHost, PhotoType, PhotoTooLarge,
		RowNoID, RowNoTimes, RowPoison, RemovalRefused, TaskLost, StoreUnavailable, RunActive, EraseKey,
	}
}

// Error is a failure with its code. Its text is `CODE: message; next step`.
// Neither part may hold personal data or secrets: ids and counts only.
type Error struct {
	Code Code
	Msg  string // lower case, no full stop
	Next string // what the reader can do; may be empty
	Err  error  // the cause, for errors.Is and errors.As; not printed
}

// New returns an error with a code, a message and a next step.
func New(code Code, msg, next string) *Error { return &Error{Code: code, Msg: msg, Next: next} }

// Wrap is New with a cause. The cause's text is not printed, since it may come
// from outside; put what is safe of it into msg.
func Wrap(code Code, err error, msg, next string) *Error {
	return &Error{Code: code, Msg: msg, Next: next, Err: err}
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	b.WriteString(": ")
	b.WriteString(e.Msg)
	if e.Next != "" {
		b.WriteString("; ")
		b.WriteString(e.Next)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first coded error in err's tree, or "".
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

type outOfTime struct{ err error }

func (o outOfTime) Error() string { return o.err.Error() }
func (o outOfTime) Unwrap() error { return o.err }

// OutOfTime marks err as one that waiting would have mended, had the caller's
// deadline left the time: it says nothing about what was asked for.
func OutOfTime(err error) error { return outOfTime{err} }

// IsOutOfTime reports whether err was marked by OutOfTime anywhere in its tree.
func IsOutOfTime(err error) bool {
	_, ok := errors.AsType[outOfTime](err)
	return ok
}

type permanent struct{ err error }

func (p permanent) Error() string { return p.err.Error() }
func (p permanent) Unwrap() error { return p.err }

// Permanent marks err as one that trying again will not mend. The queue's
// handler is the one place that acts on it: the task is not received again.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// IsPermanent reports whether err was marked by Permanent anywhere in its tree.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[permanent](err)
	return ok
}
