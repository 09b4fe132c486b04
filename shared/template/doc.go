// Package template reads the CloudFormation template that deploys stovasync,
// for tests: in the form that people write (YAML, with the transform of SAM and
// the short tags) and in the one that CloudFormation gets (JSON).
//
// [Parse] gives the tree as it is written. [Template.Deploy] resolves it for
// parameter values, as CloudFormation would: constraints are checked, conditions
// decide which resources there are, and every reference becomes a name or an
// ARN. Of the resulting [Stack], [Stack.Functions] tells how each function is
// configured, and [Stack.Policy] what a role may do.
//
// It leaves to others what a template ought to say: that is for the tests at
// the root of shared.
package template
