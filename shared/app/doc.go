// Package app wires adapters, clients and steps: the only place that does. The
// functions start from New, the command line from Open; both get an App whose
// handlers are the same.
package app
