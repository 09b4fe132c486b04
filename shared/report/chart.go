package report

import (
	"math"
	"slices"
	"strconv"
	"time"

	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// chart is one figure of the last runs as bars, the oldest on the left. It is
// drawn by page/run.tmpl in SVG that takes its colours from the page's style,
// as no chart library for Go does: theirs hold fixed colours, which a dark
// screen makes unreadable, or need a script from the network.
type chart struct {
	ID, Name, Unit string
	Says           string // what the figure says in words
	Class          string
	Bars           []bar
	Ticks          []tick
	Dates          []date
	Log            bool   // the axis is logarithmic: the largest would dwarf the others
	Empty          string // said instead of bars when all are zero
}

// bar is one run, in the units of the drawing.
type bar struct {
	X, Y, W, H float64
	Says       string
	This       bool // the run that the page is about
	Open       bool // the run is under way
	Cross      bool // it failed: a sign besides the colour
	Middle     float64
}

type tick struct {
	Y, TextY float64
	Text     string
}

type date struct {
	X      float64
	Text   string
	Anchor string
}

// The drawing, in its own units: the part within the axes.
const (
	plotLeft   = 46.0
	plotTop    = 14.0
	plotWidth  = 300.0
	plotHeight = 120.0
	plotRight  = plotLeft + plotWidth
	plotFloor  = plotTop + plotHeight
)

// charts are the three figures of the history, which is the newest first.
func charts(this string, history []pipeline.RunView) []chart {
	oldest := slices.Clone(history)
	slices.Reverse(oldest)
	longest := 0.0
	for _, r := range oldest {
		longest = max(longest, r.Seconds)
	}
	scale, unit := 1.0, "seconds"
	switch {
	case longest >= 3*3600:
		scale, unit = 3600, "hours"
	case longest >= 180:
		scale, unit = 60, "minutes"
	}
	return []chart{
		draw(chart{ID: "duration", Name: "Duration", Unit: unit, Class: "took", Empty: "no run has taken any time"}, this, oldest, false,
			func(r pipeline.RunView) (float64, string) { return r.Seconds / scale, seconds(r.Seconds) }),
		draw(chart{ID: "changed", Name: "Changed", Unit: "records new, changed or removed", Class: "wrote", Empty: "no run changed a record"}, this, oldest, true,
			func(r pipeline.RunView) (float64, string) { return float64(written(r)), things(written(r), "record") }),
		draw(chart{ID: "failed", Name: "Failed", Unit: "pages, and types as a whole", Class: "failed", Empty: "nothing failed"}, this, oldest, true,
			func(r pipeline.RunView) (float64, string) {
				return float64(failures(r)), count(failures(r)) + " failed"
			}),
	}
}

// draw puts the runs into a chart. whole says that only whole numbers make sense.
func draw(c chart, this string, oldest []pipeline.RunView, whole bool, of func(pipeline.RunView) (float64, string)) chart {
	values := make([]float64, len(oldest))
	for i, r := range oldest {
		values[i], _ = of(r)
	}
	at := axisOf(values, whole)
	c.Log = at.log
	for _, v := range at.ticks {
		y := round(plotFloor - at.height(v))
		c.Ticks = append(c.Ticks, tick{Y: y, TextY: y + 4, Text: short(v)})
	}
	// A few runs stand at the left, as wide as many would.
	slot := plotWidth / float64(max(len(oldest), 12))
	most := 0.0
	for i, r := range oldest {
		v, says := of(r)
		most = max(most, v)
		b := bar{
			X: round(plotLeft + float64(i)*slot + slot*0.12), W: round(slot * 0.76), H: round(at.height(v)),
			Says: stamp(r.Started) + ": " + says, This: r.Run == this, Open: !r.State.Ended(),
		}
		if v > 0 {
			b.H = max(b.H, 1.5)
		}
		b.Y, b.Middle = round(plotFloor-b.H), round(b.X+b.W/2)
		b.Cross = c.Class == "failed" && v > 0
		if b.Open {
			b.Says += " so far"
		}
		c.Bars = append(c.Bars, b)
	}
	if most > 0 {
		c.Empty = ""
	}
	c.Dates = dates(oldest, slot)
	c.Says = saying(c, len(oldest), most)
	return c
}

// axis is how values become heights.
type axis struct {
	log         bool
	bottom, top float64 // of the values; bottom is 0 but on a logarithmic axis
	ticks       []float64
}

// dwarfed is by how much the largest value may pass the middle one before the
// axis turns logarithmic: a weekly full run among incremental ones does.
const dwarfed = 20

// axisOf fits an axis to values.
func axisOf(values []float64, whole bool) axis {
	some := slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return v <= 0 })
	slices.Sort(some)
	if len(some) > 2 && some[len(some)-1] > dwarfed*some[len(some)/2] {
		return logAxis(some[0], some[len(some)-1])
	}
	top := 0.0
	if len(some) > 0 {
		top = some[len(some)-1]
	}
	step := stepOf(top, whole)
	a := axis{top: max(step, math.Ceil(top/step)*step)}
	for i := range int(math.Round(a.top/step)) + 1 {
		a.ticks = append(a.ticks, float64(i)*step)
	}
	return a
}

// logAxis goes by powers of ten. Its foot is below the least value, so that a
// single record has a bar too.
func logAxis(least, most float64) axis {
	low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
	a := axis{log: true, bottom: math.Pow(10, low) / 2, top: math.Pow(10, high)}
	for p := low; p <= high; p++ {
		a.ticks = append(a.ticks, math.Pow(10, p))
	}
	return a
}

// height of a value in the drawing; none of nothing.
func (a axis) height(v float64) float64 {
	switch {
	case v <= 0:
		return 0
	case a.log:
		return (math.Log10(v) - math.Log10(a.bottom)) / (math.Log10(a.top) - math.Log10(a.bottom)) * plotHeight
	default:
		return v / a.top * plotHeight
	}
}

// saying is a chart for who cannot see it; the table below has every figure.
func saying(c chart, runs int, most float64) string {
	says := c.Name + " of the last " + things(runs, "run") + ", in " + c.Unit
	if c.Log {
		says += ", on a logarithmic scale"
	}
	if c.Empty != "" {
		return says + ": " + c.Empty
	}
	return says + ", at most " + short(most)
}

// dates name the first and the last run under the axis.
func dates(oldest []pipeline.RunView, slot float64) []date {
	const layout = "Jan 2, 15:04"
	first := date{X: plotLeft, Text: moment(oldest[0].Started, layout), Anchor: "start"}
	end := round(plotLeft + float64(len(oldest))*slot)
	last := date{X: end, Text: moment(oldest[len(oldest)-1].Started, layout), Anchor: "end"}
	if end-plotLeft < 160 { // the two would stand in each other
		if len(oldest) > 1 {
			first.Text += " to " + last.Text
		}
		return []date{first}
	}
	return []date{first, last}
}

func moment(t time.Time, layout string) string {
	if t.IsZero() {
		return "not started"
	}
	return t.UTC().Format(layout)
}

// stepOf is the distance of the lines of an axis: 1, 2 or 5 times a power of
// ten, so that there are three to six of them.
func stepOf(top float64, whole bool) float64 {
	if top <= 0 || math.IsInf(top, 0) || math.IsNaN(top) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(top/3)))
	step := power
	for _, m := range [...]float64{1, 2, 5, 10} {
		step = m * power
		if top/step <= 5 {
			break
		}
	}
	if whole {
		step = max(1, math.Round(step))
	}
	return step
}

// short writes a number for an axis: 1200 as 1.2k.
func short(v float64) string {
	for _, u := range [...]struct {
		from float64
		mark string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= u.from {
			return strconv.FormatFloat(math.Round(v/u.from*100)/100, 'f', -1, 64) + u.mark
		}
	}
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

// round keeps the drawing's numbers short.
func round(v float64) float64 { return math.Round(v*10) / 10 }

// stateClass is a state's look; the word itself stands beside it.
func stateClass(s run.State) string {
	switch s {
	case run.Complete, run.Skipped:
		return "good"
	case run.Partial, run.Stalled:
		return "hint"
	case run.Failed:
		return "bad"
	default:
		return "open"
	}
}
