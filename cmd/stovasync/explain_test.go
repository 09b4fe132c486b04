package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"stovasync/shared/explain"
)

func TestAnExplanationReadsWell(t *testing.T) {
	t.Parallel()
	x := explain.Explanation{
		Connection: "summit", Type: "users", ID: "7", Verdict: "Stored as active by run 20310304T090000Z-3f2a0b1c, page 2: company is protected (R19).",
		Rules: []explain.Rule{
			{Rule: "R4", Name: "sponsor split", Result: explain.Pass, Why: "category.name is “Delegate”: not a sponsor"},
			{Rule: "R19", Name: "protected fields", Result: explain.Info, Why: "the connection's protect names company: no sync changes that"},
		},
		Fields: []explain.Field{
			{Field: "company", Expression: "company", Columns: []explain.Column{{Expression: "company", Value: "S…d"}}, Value: "S…d", Stored: "F…d", Note: "protected"},
			{Field: "phone", Expression: "first(mphone, wphone)", Columns: []explain.Column{{Expression: "mphone"}, {Expression: "wphone", Value: "1… …5"}}, Value: "1… …5"},
			{Field: "topics", Expression: "topics", Value: []string{"D…a", "P…e"}}, {Field: "photo_object", Value: "a/b.jpg"},
		},
		Nearest: []string{"70", "71"}, Next: "stovasync preview summit users",
	}
	for name, tt := range map[string]struct {
		columns string
		want    []string
	}{
		"in a pipe lines are as long as they are": {"", []string{
			"users 7 of summit\nStored as active by run 20310304T090000Z-3f2a0b1c, page 2: company is protected (R19).\nNear it: 70, 71\nNext: stovasync preview summit users\n\nrule result name",
			"R19  info   protected fields the connection's protect names company: no sync changes that\n",
			"company      S…d           F…d    protected company (S…d)\n",
			"first(mphone, wphone): mphone (empty), wphone (1… …5)\n",
			"topics       [\"D…a\",\"P…e\"]                  topics\n", "photo_object a/b.jpg                        computed\n",
		}},
		"on a narrow terminal no line of the verdict or the rules is wider": {"60", []string{
			"Stored as active by run 20310304T090000Z-3f2a0b1c, page 2:\ncompany is protected (R19).\n", "the connection's protect\n",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			c := &cli{out: &out, err: &screen{under: &bytes.Buffer{}}, lookup: func(name string) (string, bool) { return tt.columns, name == "COLUMNS" && tt.columns != "" }}
			if err := c.printExplanation(x); err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output lacks\n%s\nin\n%s", want, out.String())
				}
			}
			upper, _, _ := strings.Cut(out.String(), "\nfield")
			for line := range strings.Lines(upper) {
				if n := len([]rune(strings.TrimRight(line, "\n"))); tt.columns != "" && n > 60 {
					t.Errorf("a line has %d columns: %s", n, line)
				}
			}
		})
	}
	plain := x
	plain.Fields = slices.Clone(x.Fields)
	plain.Fields[0].Stored, plain.Fields[0].Note = nil, ""
	var out bytes.Buffer
	c := &cli{out: &out, err: &screen{under: &bytes.Buffer{}}}
	if err := c.printExplanation(plain); err != nil || strings.Contains(out.String(), "stored ") || strings.Contains(out.String(), "note") {
		t.Errorf("empty columns are shown, %v:\n%s", err, out.String())
	}
}
