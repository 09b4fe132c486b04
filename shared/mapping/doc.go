// Package mapping turns the vendor's rows into records, by rules and a mapping.
package mapping
