package shared_test

import (
	"go/constant"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/ssa"
)

// keyFormat is a text that a key of the bucket is made by: "plans/%s/…".
var keyFormat = regexp.MustCompile(`^([a-z]+)/%s/`)

// prefixes returns the prefixes of the keys that a function makes, itself or by
// what it calls within its package. Handed a key, it makes none.
func (r *reached) prefixes(user entry) map[string]bool {
	found, seen := map[string]bool{}, map[*ssa.Function]bool{}
	var visit func(*ssa.Function)
	visit = func(fn *ssa.Function) {
		if fn == nil || seen[fn] || packageOf(fn) != "pipeline" {
			return
		}
		seen[fn] = true
		for text := range texts(fn) {
			if m := keyFormat.FindStringSubmatch(text); m != nil {
				found["/"+m[1]+"/*"] = true
			}
		}
		for _, block := range fn.Blocks {
			for _, instruction := range block.Instrs {
				for _, operand := range instruction.Operands(nil) {
					if callee, is := (*operand).(*ssa.Function); is {
						visit(callee)
					}
				}
			}
		}
	}
	for fn := range r.funcs {
		if fn.Parent() == nil && entryOf(fn) == user {
			visit(fn)
		}
	}
	return found
}

// texts yields the constant texts in a function.
func texts(fn *ssa.Function) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, block := range fn.Blocks {
			for _, instruction := range block.Instrs {
				for _, operand := range instruction.Operands(nil) {
					c, is := (*operand).(*ssa.Const)
					if is && c.Value != nil && c.Value.Kind() == constant.String && !yield(constant.StringVal(c.Value)) {
						return
					}
				}
			}
		}
	}
}

// owners returns the prefixes of pictures, by the kinds of those who own them:
// what is stored in the name of an ownerKind.
func (r *reached) owners() map[string]bool {
	found := map[string]bool{}
	for fn := range r.funcs {
		for _, block := range fn.Blocks {
			for _, instruction := range block.Instrs {
				store, is := instruction.(*ssa.Store)
				if !is {
					continue
				}
				field, isField := store.Addr.(*ssa.FieldAddr)
				name, isConst := store.Val.(*ssa.Const)
				if isField && isConst && strings.HasSuffix(field.X.Type().String(), "pipeline.ownerKind") && field.Field == 0 {
					found["/*/"+constant.StringVal(name.Value)+"/*"] = true
				}
			}
		}
	}
	return found
}

// prefixProblems compares what objects says with the keys that the code makes.
func prefixProblems(p *program) (all problems) {
	made, said := map[string]bool{}, map[string]bool{}
	for folder, main := range p.mains {
		r := p.from(main, unreachable()[folder]...)
		for fn := range r.funcs {
			if packageOf(fn) != "pipeline" {
				continue
			}
			for text := range texts(fn) {
				if m := keyFormat.FindStringSubmatch(text); m != nil {
					made["/"+m[1]+"/*"] = true
				}
			}
		}
		maps.Copy(made, r.owners())
		for user, prefixes := range objects() {
			own := r.prefixes(user)
			for _, prefix := range prefixes {
				said[prefix] = true
				if len(own) > 0 && !own[prefix] && !strings.HasPrefix(prefix, "/*/") {
					all.add("%s: %s makes keys below %v, not %s", folder, user, slices.Sorted(maps.Keys(own)), prefix)
				}
			}
		}
	}
	all.want("the prefixes of the bucket", slices.Sorted(maps.Keys(said)), slices.Sorted(maps.Keys(made)))
	return all
}

func TestPrefixesAreThoseOfTheKeysThatTheCodeMakes(t *testing.T) {
	t.Parallel()
	p, err := loadProgram()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range prefixProblems(p) {
		t.Error(problem)
	}
}

// What the permissions are derived from is seen to change: in each case a
// person has changed the code and forgotten the template. All of them are made
// at once, since to load the program takes long.
func TestAChangeOfTheCodeThatRolesDoNotFollowIsSeen(t *testing.T) {
	t.Parallel()
	const client = "	db := dynamodb.NewFromConfig(cfg)\n"
	cases := map[string]struct{ file, old, with, want string }{
		"an operation that is called past the adapters": {"app/aws.go", client,
			client + "	_, _ = sqs.NewFromConfig(cfg).PurgeQueue(context.Background(), &sqs.PurgeQueueInput{})\n", "does sqs.PurgeQueue"},
		"an operation that is handed on": {"app/aws.go", client, client + "	_ = []any{ssm.NewFromConfig(cfg).DeleteParameter}\n", "uses ssm.DeleteParameter"},
		"another prefix":                 {"pipeline/object.go", `"raw/%s/%s/"`, `"rawpages/%s/%s/"`, "/rawpages/*"},
		"another one's prefix":           {"pipeline/object.go", `"reports/%s/%s/%s/%s.json.gz"`, `"raw/%s/%s/%s/%s.json.gz"`, "putReport makes keys below [/raw/*], not /reports/*"},
		"another kind of picture":        {"pipeline/photos.go", `ownerKind{"sponsor",`, `ownerKind{"logo",`, "/*/logo/*"},
	}
	files := map[string][]byte{}
	for says, c := range cases {
		path, err := filepath.Abs(filepath.FromSlash(c.file))
		if err != nil {
			t.Fatal(err)
		}
		text := files[path]
		if text == nil {
			if text, err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
		changed := strings.Replace(string(text), c.old, c.with, 1)
		if changed == string(text) {
			t.Fatalf("%s: %s has no %q", says, c.file, c.old)
		}
		files[path] = []byte(changed)
	}
	p, err := loadChanged(files)
	if err != nil {
		t.Fatal(err)
	}
	found := prefixProblems(p)
	for folder, main := range p.mains {
		for _, stray := range p.from(main, unreachable()[folder]...).strays() {
			found.add("%s: %s", folder, stray)
		}
	}
	for says, c := range cases {
		if !strings.Contains(strings.Join(found, "\n"), c.want) {
			t.Errorf("%s: nobody said %q", says, c.want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(found, "\n"))
	}
}
