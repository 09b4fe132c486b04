package shared_test

import (
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/ssa/ssautil"
)

const sdk = "github.com/aws/aws-sdk-go-v2/service/"

// program is this module as the functions are built, in SSA form. What it
// imports has types but no bodies: the SDK is seen through its operations.
type program struct {
	mains map[string]*ssa.Function // by folder
	ssa   *ssa.Program
	types []types.Type // every named type of ours, and the pointer to it
}

var loadProgram = sync.OnceValues(func() (*program, error) { return loadChanged(nil) })

// loadChanged loads the program with other text in some of its files, by path.
func loadChanged(files map[string][]byte) (*program, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return nil, err
	}
	initial, err := packages.Load(&packages.Config{
		Mode: packages.LoadSyntax | packages.NeedModule, Dir: root, Overlay: files,
		// The tag of the functions' build, which leaves the embedded default out.
		// For this machine, since other builds have left the types of what we
		// import in the cache.
		BuildFlags: []string{"-tags=lambda.norpc"},
	}, "./functions/...", "./shared/...")
	if err != nil {
		return nil, err
	}
	p := &program{mains: map[string]*ssa.Function{}}
	for _, pkg := range initial {
		for _, bad := range pkg.Errors {
			return nil, bad
		}
	}
	prog, all := ssautil.Packages(initial, ssa.InstantiateGenerics)
	prog.Build()
	p.ssa = prog
	for _, pkg := range all {
		if folder, is := strings.CutPrefix(pkg.Pkg.Path(), module+"/functions/"); is {
			p.mains[folder] = pkg.Func("main")
		}
		for _, member := range pkg.Members {
			if t, is := member.(*ssa.Type); is && !types.IsInterface(t.Type()) {
				p.types = append(p.types, t.Type(), types.NewPointer(t.Type()))
			}
		}
	}
	return p, nil
}

// reached is what one main can get to.
type reached struct {
	p       *program
	funcs   map[*ssa.Function]bool
	edges   map[*ssa.Function]map[*ssa.Function]bool
	made    map[types.Type]bool             // our types that become interfaces
	invoked map[*ssa.Function][]*types.Func // methods of interfaces that are called, by caller
	todo    []*ssa.Function
	cut     map[entry]bool // what is not followed
}

// from follows everything that main may run: what it calls, what it makes a
// value of (somebody will call that), and every method that stands behind the
// interface methods it calls, of the types that it turns into interfaces.
func (p *program) from(main *ssa.Function, cut ...entry) *reached {
	r := &reached{p: p, funcs: map[*ssa.Function]bool{}, edges: map[*ssa.Function]map[*ssa.Function]bool{},
		made: map[types.Type]bool{}, invoked: map[*ssa.Function][]*types.Func{}, cut: map[entry]bool{}}
	for _, name := range cut {
		r.cut[name] = true
	}
	r.add(nil, main)
	for {
		for len(r.todo) > 0 {
			fn := r.todo[len(r.todo)-1]
			r.todo = r.todo[:len(r.todo)-1]
			r.scan(fn)
		}
		for caller, methods := range r.invoked {
			for _, m := range methods {
				r.implementations(caller, m)
			}
		}
		if len(r.todo) == 0 {
			return r
		}
	}
}

func (r *reached) add(caller, fn *ssa.Function) {
	if fn == nil || r.cut[entryOf(fn)] {
		return
	}
	if caller != nil {
		if r.edges[caller] == nil {
			r.edges[caller] = map[*ssa.Function]bool{}
		}
		r.edges[caller][fn] = true
	}
	if !r.funcs[fn] {
		r.funcs[fn] = true
		r.todo = append(r.todo, fn)
	}
}

func (r *reached) scan(fn *ssa.Function) {
	for _, block := range fn.Blocks {
		for _, instruction := range block.Instrs {
			if call, is := instruction.(ssa.CallInstruction); is && call.Common().IsInvoke() {
				r.invoked[fn] = append(r.invoked[fn], call.Common().Method)
			}
			if made, is := instruction.(*ssa.MakeInterface); is {
				r.made[made.X.Type()] = true
				r.outside(fn, made)
			}
			for _, operand := range instruction.Operands(nil) {
				if value, is := (*operand).(*ssa.Function); is {
					r.add(fn, value)
				}
			}
		}
	}
}

// outside adds the methods that others may call: those of the interfaces that
// are not ours, such as an io.Reader's.
func (r *reached) outside(fn *ssa.Function, made *ssa.MakeInterface) {
	if named, is := made.Type().(*types.Named); is && named.Obj().Pkg() != nil && strings.HasPrefix(named.Obj().Pkg().Path(), module) {
		return
	}
	for method := range made.Type().Underlying().(*types.Interface).Methods() {
		r.method(fn, made.X.Type(), method)
	}
}

func (r *reached) implementations(caller *ssa.Function, m *types.Func) {
	iface, _ := m.Signature().Recv().Type().Underlying().(*types.Interface)
	for t := range r.made {
		if iface != nil && types.Implements(t, iface) {
			r.method(caller, t, m)
		}
	}
}

func (r *reached) method(caller *ssa.Function, t types.Type, m *types.Func) {
	if selection := types.NewMethodSet(t).Lookup(m.Pkg(), m.Name()); selection != nil {
		r.add(caller, r.p.ssa.MethodValue(selection))
	}
}

// operation names the SDK's operation that a call is: "dynamodb.GetItem". It is
// known by its types alone, since no two have the same: a context, a pointer to
// its input, options; its output and an error.
func operation(call *ssa.CallCommon) (string, bool) {
	signature := call.Signature()
	for parameter := range signature.Params().Variables() {
		pointer, is := parameter.Type().(*types.Pointer)
		if !is {
			continue
		}
		named, is := pointer.Elem().(*types.Named)
		if !is || named.Obj().Pkg() == nil {
			continue
		}
		service, ours := strings.CutPrefix(named.Obj().Pkg().Path(), sdk)
		name, input := strings.CutSuffix(named.Obj().Name(), "Input")
		if ours && input && signature.Results().Len() == 2 {
			return service + "." + name, true
		}
	}
	return "", false
}

// entry is a method of an adapter that is called from outside its package:
// "store.Items.Get".
type entry string

// entries returns the methods of adapters that r gets to, each with the SDK's
// operations that it can call within its package.
func (r *reached) entries(adapters ...string) map[entry][]string {
	all := map[entry][]string{}
	for caller, callees := range r.edges {
		for fn := range callees {
			pkg := packageOf(fn)
			if !slices.Contains(adapters, pkg) || packageOf(caller) == pkg {
				continue
			}
			if operations := r.within(fn, pkg); len(operations) > 0 {
				all[entryOf(fn)] = slices.Sorted(maps.Keys(operations))
			}
		}
	}
	return all
}

// callers lists who calls a method of an adapter from outside of its package.
func (r *reached) callers(of entry) []entry {
	found := map[entry]bool{}
	for caller, callees := range r.edges {
		for fn := range callees {
			if entryOf(fn) == of && packageOf(caller) != packageOf(fn) {
				found[entryOf(caller)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// adapters are the packages that alone ask AWS for something.
func adapters() []string { return []string{"store", "queue", "object", "secret"} }

// strays lists what is asked of the SDK outside of the adapters: operations,
// and anything else of a service but the making of its client.
func (r *reached) strays() []string {
	found := map[string]bool{}
	for fn := range r.funcs {
		if !strings.HasPrefix(pathOf(fn), module) || slices.Contains(adapters(), packageOf(fn)) {
			continue
		}
		for _, block := range fn.Blocks {
			for _, instruction := range block.Instrs {
				if call, is := instruction.(ssa.CallInstruction); is {
					if name, is := operation(call.Common()); is {
						found[string(entryOf(fn))+" does "+name] = true
					}
				}
				for _, operand := range instruction.Operands(nil) {
					value, is := (*operand).(*ssa.Function)
					if is && value.Name() != "NewFromConfig" && strings.HasPrefix(pathOf(value), sdk) {
						found[string(entryOf(fn))+" uses "+strings.TrimPrefix(pathOf(value), sdk)+"."+value.Name()] = true
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// pathOf is the path of the package that a function is declared in.
func pathOf(fn *ssa.Function) string {
	switch {
	case fn.Object() != nil && fn.Object().Pkg() != nil:
		return fn.Object().Pkg().Path()
	case fn.Pkg != nil:
		return fn.Pkg.Pkg.Path()
	}
	return ""
}

func packageOf(fn *ssa.Function) string {
	for fn.Parent() != nil {
		fn = fn.Parent()
	}
	switch {
	case fn.Pkg != nil:
		return strings.TrimPrefix(fn.Pkg.Pkg.Path(), module+"/shared/")
	case fn.Object() != nil && fn.Object().Pkg() != nil:
		return strings.TrimPrefix(fn.Object().Pkg().Path(), module+"/shared/")
	}
	return ""
}

func entryOf(fn *ssa.Function) entry {
	name := packageOf(fn) + "."
	if receiver := fn.Signature.Recv(); receiver != nil {
		t := receiver.Type()
		if pointer, is := t.(*types.Pointer); is {
			t = pointer.Elem()
		}
		if named, is := t.(*types.Named); is {
			name += named.Obj().Name() + "."
		}
	}
	return entry(name + strings.TrimSuffix(fn.Name(), "$bound"))
}

// within collects the operations that fn can call without leaving its package.
func (r *reached) within(fn *ssa.Function, pkg string) map[string]bool {
	operations, seen := map[string]bool{}, map[*ssa.Function]bool{}
	var visit func(*ssa.Function)
	visit = func(fn *ssa.Function) {
		if seen[fn] || packageOf(fn) != pkg {
			return
		}
		seen[fn] = true
		for _, block := range fn.Blocks {
			for _, instruction := range block.Instrs {
				switch i := instruction.(type) {
				case ssa.CallInstruction:
					if name, is := operation(i.Common()); is {
						operations[name] = true
					}
				case *ssa.FieldAddr:
					if part, is := transactPart(i); is {
						operations[part] = true
					}
				}
			}
		}
		for callee := range r.edges[fn] {
			visit(callee)
		}
	}
	visit(fn)
	return operations
}

// transactPart names what a transaction is made of, by the fields that are set:
// "dynamodb.TransactWriteItems/Update".
func transactPart(i *ssa.FieldAddr) (string, bool) {
	pointer := i.X.Type().Underlying().(*types.Pointer)
	named, is := pointer.Elem().(*types.Named)
	if !is || named.Obj().Name() != "TransactWriteItem" {
		return "", false
	}
	return "dynamodb.TransactWriteItems/" + named.Underlying().(*types.Struct).Field(i.Field).Name(), true
}
