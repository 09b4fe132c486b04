package config_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"stovasync/shared/config"
	"stovasync/shared/run"
)

// generator makes connections that ParseConnection could have returned.
type generator struct{ *rand.Rand }

// word returns text that YAML could take for something else.
func (g generator) word() string {
	odd := []string{"null", "true", "no", "~", "007", "1e400", "0x1F", ".nan", "- a", "a: b", "# c", "'", `"`, `\`, "{x}", "[y]", "&a", "*b", "!c", "%d", "@e", "`f`", "|", ">", "?", "<<", "é並", "\u2028", "a  b", "😀", "=", "---", "...", "a\nb", "a\tb"}
	parts := make([]string, 1+g.IntN(3))
	for i := range parts {
		parts[i] = odd[g.IntN(len(odd))]
	}
	if w := strings.Join(parts, ""); strings.TrimSpace(w) != "" {
		return w
	}
	return "~"
}

func (g generator) entry() string {
	return cmp.Or(strings.TrimSpace(strings.ReplaceAll(g.word(), ",", "")), "~")
}

func (g generator) types(atLeast int) []run.DataType {
	all := run.AllTypes()
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	some := all[:atLeast+g.IntN(len(all)-atLeast+1)]
	return slices.DeleteFunc(run.AllTypes(), func(t run.DataType) bool { return !slices.Contains(some, t) })
}

func (g generator) connection() run.Connection {
	c := minimalConnection()
	c.Name = fmt.Sprintf("%d-x", g.IntN(1000))
	c.AccountID, c.EventID = fmt.Sprintf("%04d", g.IntN(10000)), fmt.Sprintf("%030d", g.Int64())
	c.ActiveStatuses = []string{g.entry(), g.entry() + " 2"}
	c.OnlyModified, c.AllowPrivateHosts = g.IntN(2) == 0, g.IntN(2) == 0
	c.ConcurrentSessionsTitle = strings.TrimSpace(g.word())
	c.PageSize, c.RawRetentionDays, c.RequestsPerMinute = 1+g.IntN(2000), g.IntN(100), 1+g.IntN(1000)
	c.RetryBaseSeconds = 0.001 + g.Float64()*10
	c.RemovalLimit = run.RemovalLimit{Records: g.IntN(100), Percent: g.IntN(101)}
	c.DataTypes = g.types(1)
	c.Timezone = []string{"", "Europe/London", "Asia/Tokyo"}[g.IntN(3)]
	c.InactivePolicy = []string{"cancel", "hide", "skip"}[g.IntN(3)]
	for _, t := range g.types(0) {
		put(&c.RemoveOutdated, t, g.IntN(2) == 0)
		put(&c.Filters, t, g.word())
		fields := map[string]*string{}
		for range 1 + g.IntN(3) {
			fields[g.word()] = new(g.word())
			fields["unmapped"] = nil
		}
		put(&c.Mapping, t, fields)
		put(&c.Protect, t, map[string][]string{g.word(): {g.entry(), g.entry() + " 2"}})
	}
	return c
}

func put[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}

func TestRenderIsReadBackAsTheSame(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		want := generator{rand.New(rand.NewPCG(seed, 1))}.connection()
		file := config.Render(want)
		got, err := config.ParseConnection(file)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, file)
		}
		if diff := gocmp.Diff(want, got.Connection); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s\n%s", seed, diff, file)
		}
	}
}

// FuzzParseConnection: whatever the file, reading it ends, and what it accepts
// is read back as the same.
func FuzzParseConnection(f *testing.F) {
	for _, seed := range []string{minimal, "", "a: [", "- - -", "a: &b *b", "%YAML 1.2\n---\n", "? a\n: b", "key: |\n  x\n", with("mapping: {users: {photo: null}}"), "<<: {a: b}", "a: !!binary x", "\"\\ud800\": 1", "a: 'x\n\n y'"} {
		f.Add([]byte(seed))
	}
	f.Add(config.Render(generator{rand.New(rand.NewPCG(7, 1))}.connection()))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := config.ParseConnection(data)
		if err != nil {
			return
		}
		again, err := config.ParseConnection(config.Render(got.Connection))
		if err != nil {
			t.Fatalf("what Render wrote does not parse: %v", err)
		}
		if diff := gocmp.Diff(got.Connection, again.Connection); diff != "" {
			t.Fatalf("after Render (-want +got):\n%s", diff)
		}
	})
}
