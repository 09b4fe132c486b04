// Package config reads what people and deployments configure: the connection
// file of one Stova event, and the environment of the functions and the CLI.
//
// Both readers tell every problem at once: a joined error of *fault.Error with
// code CONFIG_INVALID, each with what is wrong, the line, and what would be
// right. No value of the secret key is ever part of an error.
//
// What a mapping or a filter means is left to shared/mapping; here an
// expression only has to be text.
package config
