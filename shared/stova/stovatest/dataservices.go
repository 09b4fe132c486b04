package stovatest

import (
	"slices"
	"strings"
	"time"
)

// dsDefaultPage is the rows of a page without pageSize (stova-api.md §5).
const dsDefaultPage = 1024

const dsBase = "/api/ds/v1/"

// dataServices finds the list that a path names, with or without .json:
// authenticate, {list}/{accountid} or {list}/{accountid}/{eventid}. The path
// of the questions is unknown (Q24); here it is questions/{accountid}/{eventid}.
func (s *Server) dataServices(path string) (route, bool) {
	rest, ok := strings.CutPrefix(path, dsBase)
	if !ok {
		return route{}, false
	}
	parts := strings.Split(rest, "/")
	name := strings.TrimSuffix(parts[0], ".json")
	if name == "authenticate" && len(parts) == 1 {
		return route{name: "ds/authenticate", open: true, serve: s.dsAuthenticate}, true
	}
	rt := route{name: "ds/" + name}
	switch {
	case name == "eventlist" && len(parts) == 2:
		rt.params = map[string]string{"accountid": parts[1]}
		rt.serve = s.dsEvents
	case len(parts) == 3:
		rt.params = map[string]string{"accountid": parts[1], "eventid": parts[2]}
		rt.event, rt.serve = true, s.dsLists()[name]
	}
	if rt.serve == nil {
		return route{}, false
	}
	list := rt.serve
	rt.serve = func(c *call) {
		if c.q.Get("accountid") != s.event.AccountID {
			c.dsFail("Not authorized to access account " + c.q.Get("accountid"))
			return
		}
		list(c)
	}
	return rt, true
}

func (s *Server) dsLists() map[string]func(*call) {
	return map[string]func(*call){
		"attendeelist":     s.dsAttendees,
		"regsessionlist":   s.dsRegSessions,
		"sessionlist":      s.dsSessions,
		"speakerlist":      s.dsSpeakers,
		"attendeemetadata": s.dsMetadata,
		"questions":        s.dsQuestions,
	}
}

// dsAuthenticate serves the login of Data Services, whose tokens API v2 does
// not take, nor the other way round.
func (s *Server) dsAuthenticate(c *call) {
	if !s.credentialsOK(c) {
		c.dsFail("Invalid account id or key.")
		return
	}
	c.out.open('{')
	c.out.pairs("accesstoken", s.dsTokens.issue(s.opt.Now(), &s.opt), "msg", "", "status", "success")
	c.out.close('}')
}

func (c *call) pageSize() int {
	if n := atoi(c.q.Get("pageSize")); n > 0 {
		return n
	}
	return dsDefaultPage
}

// dsField is one column of a wide row; raw ones are ready JSON.
type dsField struct {
	key, value string
	raw        bool
}

type dsRow []dsField

func (r *dsRow) add(kv ...string) {
	for i := 0; i+1 < len(kv); i += 2 {
		*r = append(*r, dsField{key: kv[i], value: kv[i+1]})
	}
}

func (r *dsRow) addRaw(key, json string) { *r = append(*r, dsField{key: key, value: json, raw: true}) }

// orNull adds a column that is null when it has no value.
func (r *dsRow) orNull(key, value string) {
	if value == "" {
		r.addRaw(key, "null")
		return
	}
	r.add(key, value)
}

func (r dsRow) get(key string) (string, bool) {
	for _, f := range r {
		if f.key == key {
			return f.value, true
		}
	}
	return "", false
}

// dsPage filters rows, cuts the page out and writes it. Past the end it is an
// empty ResultSet, not an error.
func (c *call) dsPage(rows []dsRow) {
	rows = slices.DeleteFunc(rows, func(r dsRow) bool { return !c.dsWanted(r) })
	number, size := max(1, atoi(c.q.Get("pageNumber"))), c.pageSize()
	from := min(len(rows), (number-1)*size)
	c.out.open('{')
	c.out.key("ResultSet")
	c.out.open('[')
	for _, r := range rows[from:min(len(rows), from+size)] {
		c.out.open('{')
		for _, f := range r {
			if f.raw {
				c.out.pairRaw(f.key, f.value)
			} else {
				c.out.pair(f.key, f.value)
			}
		}
		c.out.close('}')
	}
	c.out.close(']')
	c.out.close('}')
}

// dsWanted applies the filters (stova-api.md §8.2): -gt and -lt, which here
// both include the bound ([seen] for -gt, a guess for -lt), and equality for
// every parameter that is a column of the row.
func (c *call) dsWanted(r dsRow) bool {
	for key, values := range c.q {
		want := strings.Trim(values[0], "'")
		if column, ok := strings.CutSuffix(key, "-gt"); ok {
			if at, has := r.get(column); has && at < want {
				return false
			}
			continue
		}
		if column, ok := strings.CutSuffix(key, "-lt"); ok {
			if at, has := r.get(column); has && at > dsUpper(want) {
				return false
			}
			continue
		}
		if dsPlainParameter(key) {
			continue
		}
		if at, has := r.get(key); has && at != want {
			return false
		}
	}
	return true
}

// dsUpper makes a bare date as upper bound mean its first second.
func dsUpper(bound string) string {
	if len(bound) == len(time.DateOnly) {
		return bound + " 00:00:00"
	}
	return bound
}

// dsPlainParameter tells parameters from columns of the same name.
func dsPlainParameter(key string) bool {
	switch key {
	case "accountid", "eventid", "accesstoken", "pageNumber", "pageSize", "language":
		return true
	}
	return false
}

// dsSlug is the column of a question: its text in lower snake case.
func dsSlug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(words, "_")
}

// dsColumns are the columns of the custom questions, by question id; where
// texts collide the later one gets its id appended.
func (s *Server) dsColumns() map[string]string {
	columns, taken := map[string]string{}, map[string]bool{}
	for _, q := range s.event.Questions {
		if q.FieldName != q.ID {
			continue
		}
		name := dsSlug(q.Name)
		if taken[name] {
			name += "_" + q.ID
		}
		taken[name] = true
		columns[q.ID] = name
	}
	return columns
}
