package app_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"stovasync/shared/app"
	"stovasync/shared/config"
	"stovasync/shared/mapping"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// concurrency is how many requests are under way at once, ours and the bare loop's.
const figuresConcurrency = 8

// TestFigures measures what the product costs and prints it as a table beside
// what was asked for. It judges nothing: machines differ, and a slow one is no
// mistake in the code. `make bench` runs it.
//
// STOVASYNC_FIGURES=1 is all of it; another value is a part of it by name.
// STOVASYNC_FIGURES_PROFILE names a folder for profiles of the runs.
func TestFigures(t *testing.T) {
	which := os.Getenv("STOVASYNC_FIGURES")
	if which == "" {
		t.Skip("measures for minutes: make bench")
	}
	f := &figures{t: t}
	parts := []struct {
		name string
		do   func()
	}{
		{"mapping", f.mapping}, {"cost", f.cost}, {"nodelay", f.withoutDelay}, {"delay", f.withDelay},
	}
	for _, p := range parts {
		if which == "1" || which == p.name {
			p.do()
		}
	}
	f.print()
}

// figures collects the lines of the table.
type figures struct {
	t     *testing.T
	lines []figure
}

type figure struct {
	name, measured, bar string
	met                 string
}

func (f *figures) add(name, measured, bar string, met bool) {
	word := "no"
	if met {
		word = "yes"
	}
	f.lines = append(f.lines, figure{name, measured, bar, word})
}

func (f *figures) report(name, measured string) {
	f.lines = append(f.lines, figure{name, measured, "reported", ""})
}

func (f *figures) print() {
	fmt.Printf("\n%s, %s/%s, %d CPUs; twin, bare loop and stovasync each in a process of its own, %d requests at once\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), figuresConcurrency)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tmeasured\tbar\tmet?")
	for _, l := range f.lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.name, l.measured, l.bar, l.met)
	}
	_ = w.Flush()
	fmt.Println()
}

// spread is the median of measurements, and their range.
func spread(unit string, format string, all []float64) string {
	slices.Sort(all)
	return fmt.Sprintf("%s %s (%s to %s, %d runs)", fmt.Sprintf(format, median(all)), unit,
		fmt.Sprintf(format, all[0]), fmt.Sprintf(format, all[len(all)-1]), len(all))
}

func median(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// folder makes a store with the connection to a twin.
func (f *figures) folder(tw farTwin) string {
	dir := f.t.TempDir()
	l, err := app.OpenLocal(f.t.Context(), dir, app.LocalOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	p, err := config.ParseConnection([]byte(`name: figures
endPoint: ` + tw.url + `/api/v2
accountid: "` + tw.event.AccountID + `"
eventid: "` + tw.event.ID + `"
allowPrivateHosts: true
requestsPerMinute: 1000000
personPhotoEndpoint: ` + tw.url + `/ereg/uploadfiles/
presenterPhotoEndpoint: ` + tw.url + `/image.php?acc={accountid}&id={id}
ConcurrentSessionsTitle: Parallel
mapping:
  users: {photo: responses.photo}
  sessions: {in_slot: in_slot}
`))
	if err != nil {
		f.t.Fatal(err)
	}
	if err := l.Steps.Ledger.PutConnection(f.t.Context(), p.Connection, time.Now()); err != nil {
		f.t.Fatal(err)
	}
	if err := l.Secrets.Put(f.t.Context(), "figures", tw.event.Key); err != nil {
		f.t.Fatal(err)
	}
	return dir
}

// measured is one run in a process of its own.
type measured struct {
	synced
	Twin twinFigures
	CPU  float64 // seconds, user and system
}

func (f *figures) sync(tw farTwin, dir string, full bool) measured {
	tw.ask(f.t, http.MethodPost, "reset", nil)
	o := syncOrder{Dir: dir, Connection: "figures", Nonce: strconv.FormatInt(time.Now().UnixNano(), 10), Full: full, Concurrency: figuresConcurrency}
	if p := os.Getenv("STOVASYNC_FIGURES_PROFILE"); p != "" {
		o.Profile = filepath.Join(p, fmt.Sprintf("%d-%s", len(tw.event.People), o.Nonce))
		if err := os.MkdirAll(o.Profile, 0o755); err != nil {
			f.t.Fatal(err)
		}
	}
	v, cmd := finishChild[synced](f.t, order{Sync: &o})
	if v.View.State != run.Complete {
		f.t.Fatalf("the run ended as %s", v.View.State)
	}
	m := measured{synced: v, CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}
	tw.ask(f.t, http.MethodGet, "figures", &m.Twin)
	return m
}

// bare fetches what the last run fetched.
func (f *figures) bare(tw farTwin) bareResult {
	var all []sent
	tw.ask(f.t, http.MethodGet, "sent", &all)
	all = slices.DeleteFunc(all, func(s sent) bool { return strings.Contains(s.URI, "authorize") })
	doc, err := json.Marshal(all)
	if err != nil {
		f.t.Fatal(err)
	}
	file := filepath.Join(f.t.TempDir(), "requests.json")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		f.t.Fatal(err)
	}
	b, _ := finishChild[bareResult](f.t, order{Bare: &bareOrder{
		URL: tw.url, AccountID: tw.event.AccountID, Key: tw.event.Key, Concurrency: figuresConcurrency, File: file,
	}})
	return b
}

// against measures full runs beside the bare loop, one after the other so that
// whatever else the machine does meets both.
func (f *figures) against(tw farTwin, repeats int) (ours, bare, ratios []float64) {
	for range repeats {
		o := f.sync(tw, f.folder(tw), true)
		b := f.bare(tw)
		f.t.Logf("ours %.2f s (cpu %.2f s, in flight at most %d), bare %.2f s for %d requests of %.1f MB in all", o.Seconds, o.CPU, o.Twin.MaxInFlight, b.Seconds, b.Requests, float64(b.Bytes)/1e6)
		ours, bare, ratios = append(ours, o.Seconds), append(bare, b.Seconds), append(ratios, o.Seconds/b.Seconds)
	}
	return ours, bare, ratios
}

func (f *figures) withDelay() {
	tw := startFarTwin(f.t, twinOrder{Attendees: 2000, Delay: 100 * time.Millisecond})
	ours, bare, ratios := f.against(tw, 3)
	f.wall("100 ms delay, 2,000 attendees", ours, bare, ratios, 1.1)
}

func (f *figures) withoutDelay() {
	tw := startFarTwin(f.t, twinOrder{Attendees: 6000})
	ours, bare, ratios := f.against(tw, 5)
	f.wall("no delay, 6,000 attendees", ours, bare, ratios, 2)
}

func (f *figures) wall(what string, ours, bare, ratios []float64, bar float64) {
	met := median(ratios) <= bar
	f.add("time against the bare loop, "+what, spread("times", "%.2f", ratios), fmt.Sprintf("≤ %g", bar), met)
	f.report("  ours", spread("s", "%.2f", ours))
	f.report("  bare loop", spread("s", "%.2f", bare))
}

// cost measures calls, writes, memory and processor time at three sizes.
func (f *figures) cost() {
	perAttendee := map[int]float64{}
	var peak float64
	for _, n := range []int{1000, 5000, 20000} {
		tw := startFarTwin(f.t, twinOrder{Attendees: n})
		var cpu []float64
		repeats := 3
		var dir string
		var first measured
		for range repeats {
			dir = f.folder(tw)
			first = f.sync(tw, dir, true)
			cpu = append(cpu, first.CPU/float64(n)*1000)
			peak = max(peak, first.PeakMB)
		}
		perAttendee[n] = median(cpu)
		f.report(fmt.Sprintf("processor time an attendee, %d attendees", n), spread("ms", "%.2f", cpu))
		f.t.Logf("%d attendees: peak %.0f MB, %.1f s", n, first.PeakMB, first.Seconds)
		if n == 5000 {
			f.calls(tw, dir, first)
		}
	}
	f.add("peak memory, 20,000 attendees", fmt.Sprintf("%.0f MB (largest of all runs)", peak), "< 120 MB", peak < 120)
	least, most := slices.Min(slices.Collect(maps.Values(perAttendee))), slices.Max(slices.Collect(maps.Values(perAttendee)))
	f.add("cost an attendee, 1,000 to 20,000", fmt.Sprintf("largest is %.2f × smallest; 20,000 is %.2f × 1,000", most/least, perAttendee[20000]/perAttendee[1000]),
		"flat: 20,000 ≤ 1.1 × 1,000", perAttendee[20000] <= 1.1*perAttendee[1000])
}

// calls counts what a full run asked for, and what repeating it costs.
func (f *figures) calls(tw farTwin, dir string, first measured) {
	ev := tw.event
	details := len(ev.People) + len(ev.Sessions) + len(ev.Speakers)
	total, lists := first.Twin.total()
	bar := 1.02 * float64(details+lists+5)
	f.add(fmt.Sprintf("API calls of a full run, %d attendees", len(ev.People)), strconv.Itoa(total), fmt.Sprintf("≤ %.0f", bar), float64(total) <= bar)
	for _, full := range []bool{false, true} {
		again := f.sync(tw, dir, full)
		name := map[bool]string{false: "incremental", true: "full"}[full]
		f.add("record writes of an unchanged second run, "+name, strconv.Itoa(again.Writes), "0", again.Writes == 0)
		if full {
			continue
		}
		total, lists := again.Twin.total()
		bar := 10 + len(ev.Sessions) + len(ev.Speakers) + lists
		f.add("API calls of an unchanged incremental run", strconv.Itoa(total), fmt.Sprintf("≤ %d", bar), total <= bar)
	}
}

// mapping measures the mapping alone, on a row as the twin sends it.
func (f *figures) mapping() {
	tw := startFarTwin(f.t, twinOrder{Attendees: 20})
	raw := f.row(tw)
	set, err := mapping.Compile(mapping.Settings{ActiveStatuses: []string{"Confirmed", "Attended"}, Mapping: map[run.DataType]map[string]*string{
		run.Users: {"photo": new("responses.photo")},
	}})
	if err != nil {
		f.t.Fatal(err)
	}
	zone, err := time.LoadLocation(tw.event.Zone)
	if err != nil {
		f.t.Fatal(err)
	}
	m := set.For(mapping.Event{ID: tw.event.ID, Zone: zone, Language: tw.event.Language})
	var rate []float64
	var allocs, bytes int64
	for range 3 {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				row, err := m.Row(run.Attendees, raw)
				if err != nil {
					b.Fatal(err)
				}
				res := m.Users(row)
				m.Sponsors(row)
				m.Level(row)
				for _, p := range m.Picks(row) {
					m.Schedule(row, p.Candidates[0], p)
				}
				mapping.Hash(res.Fields, res.Status)
				row.Release()
			}
		})
		rate = append(rate, float64(r.N)/r.T.Seconds())
		allocs, bytes = r.AllocsPerOp(), r.AllocedBytesPerOp()
	}
	f.report(fmt.Sprintf("mapping of one attendee for four types (%d bytes of JSON)", len(raw)), spread("rows/s", "%.0f", rate))
	f.report("  memory of it", fmt.Sprintf("%d allocations, %d bytes a row", allocs, bytes))
}

// row reads an attendee with a picture and picks.
func (f *figures) row(tw farTwin) json.RawMessage {
	b := bareOrder{URL: tw.url, AccountID: tw.event.AccountID, Key: tw.event.Key}
	token, err := b.authorize(f.t.Context(), http.DefaultClient)
	if err != nil {
		f.t.Fatal(err)
	}
	best := slices.MaxFunc(tw.event.People, func(a, b *stovatest.Person) int {
		return cmp.Compare(len(a.Picks)+len(a.Photo), len(b.Picks)+len(b.Photo))
	})
	res, err := http.Get(tw.url + "/api/v2/ereg/getAttendee.json?eventid=" + tw.event.ID + "&attendeeid=" + best.ID + "&accesstoken=" + token)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return raw
}
