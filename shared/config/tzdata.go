//go:build !lambda.norpc

// Whether a zone is known must not depend on the machine, so programs carry
// the time zone database. The functions, which have to stay small, get it as a
// file beside them: see app.New.

package config

import _ "time/tzdata"
