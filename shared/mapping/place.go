package mapping

import "stovasync/shared/run"

// Place is what an error of Compile is about: the cause of its *fault.Error.
// Who has the file that the settings came from finds the line by it.
type Place struct {
	Type   run.DataType
	Field  string // "" of a filter
	Filter bool
	// Column is the character of the expression, counted from 1, that the error
	// is at. 0: it is about the field, or the filter, being there at all.
	Column int

	what string
}

// Error is Mistake.
func (p *Place) Error() string { return p.what }

// Mistake says what is wrong, without the expression and the column.
func (p *Place) Mistake() string { return p.what }

// Expression returns the fields of Place.
func (p *Place) Expression() (t run.DataType, field string, filter bool, column int) {
	return p.Type, p.Field, p.Filter, p.Column
}
