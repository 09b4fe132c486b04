package app_test

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stovasync/shared/app"
	"stovasync/shared/config"
	"stovasync/shared/run"
	"stovasync/shared/stova/stovatest"
)

// atlas is a vendor with three hosts of pictures, each a twin of its own.
type atlas struct {
	*world
	twins map[string]*stovatest.Running // by region
}

func newAtlas(t *testing.T) *atlas {
	t.Helper()
	o := stovatest.Options{Seed: 7, Attendees: 12, Sponsors: 2, PhotoShare: 0.9, Sessions: 3, Speakers: 4}
	a := &atlas{world: newWorld(t, o, stovatest.ServerOptions{}, ""), twins: map[string]*stovatest.Running{}}
	for _, region := range []string{"na", "emea", "apac"} {
		a.twins[region] = stovatest.NewServer(stovatest.Generate(o), stovatest.ServerOptions{}).Start(t)
	}
	return a
}

// without takes the pictures away from a region.
func (a *atlas) without(region string) {
	a.twins[region].Fault(stovatest.Fault{Kind: stovatest.PictureFault, Mode: "404"})
}

// edit changes the connection.
func (a *atlas) edit(change func(*run.Connection)) {
	a.t.Helper()
	c, err := a.app.Steps.Ledger.Connection(a.t.Context(), a.name)
	if err != nil {
		a.t.Fatal(err)
	}
	change(&c)
	if err := a.app.Steps.Ledger.PutConnection(a.t.Context(), c, time.Now()); err != nil {
		a.t.Fatal(err)
	}
}

// at makes a region the configured one.
func (a *atlas) at(base string) {
	a.t.Helper()
	a.edit(func(c *run.Connection) {
		c.PersonPhotoEndpoint = base + "/ereg/uploadfiles/"
		c.PresenterPhotoEndpoint = base + "/image.php?acc={accountid}&id={id}"
	})
}

func (a *atlas) host(region string) string {
	u, err := url.Parse(a.twins[region].URL())
	if err != nil {
		a.t.Fatal(err)
	}
	return u.Host
}

// test checks the connection and returns its steps by name. None of them may
// hold the name of a picture.
func (a *atlas) test(more ...config.Region) map[string]app.CheckStep {
	a.t.Helper()
	regions := more
	for _, name := range []string{"na", "emea", "apac"} {
		regions = append(regions, config.Region{Name: name, API: "api-" + name + ".example.test", Photos: a.host(name)})
	}
	steps := map[string]app.CheckStep{}
	err := app.Checker{App: a.app.App, Regions: regions}.Check(a.t.Context(), a.name, func(s app.CheckStep) {
		steps[s.Step] = s
		for _, p := range a.event.People {
			if text := fmt.Sprint(s); p.Photo != "" && strings.Contains(text, p.Photo) {
				a.t.Errorf("step %s tells the name of a picture: %s", s.Step, text)
			}
		}
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return steps
}

func TestCheckAsksForASamplePicture(t *testing.T) {
	t.Parallel()
	for name, synced := range map[string]bool{"that a row names": false, "that is stored": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAtlas(t)
			if synced {
				a.sync(run.Full)
			}
			a.at(a.twins["emea"].URL())
			steps := a.test()
			for _, step := range []string{"user-photos", "presenter-photos"} {
				want := a.host("emea") + " answers; a sample picture is there: " + a.host("emea") + "/…, image/"
				if s := steps[step]; !s.OK || !strings.HasPrefix(s.Message, want) {
					t.Errorf("%s: %+v, want %q", step, s, want)
				}
			}
		})
	}
}

func TestCheckNamesTheRegionThatHasThePictures(t *testing.T) {
	t.Parallel()
	a := newAtlas(t)
	a.without("emea")
	a.without("na")
	a.at(a.twins["emea"].URL())
	want := map[string]app.CheckStep{
		"user-photos": {
			Step: "user-photos", Code: "CONFIG_INVALID", Message: a.host("emea") + " does not have the sample picture, but " + a.host("apac") + " has it",
			Next: "set personPhotoEndpoint: http://" + a.host("apac") + "/ereg/uploadfiles/",
		},
		"presenter-photos": {
			Step: "presenter-photos", Code: "CONFIG_INVALID", Message: a.host("emea") + " does not have the sample picture, but " + a.host("apac") + " has it",
			Next: "set presenterPhotoEndpoint: http://" + a.host("apac") + "/image.php?acc={accountid}&id={id}",
		},
	}
	steps := a.test()
	for name, w := range want {
		got := steps[name]
		got.Seconds = 0
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCheckOfPicturesThatAreNowhere(t *testing.T) {
	t.Parallel()
	a := newAtlas(t)
	for _, region := range []string{"na", "emea", "apac"} {
		a.without(region)
	}
	a.at(a.twins["emea"].URL())
	s := a.test()["user-photos"]
	if !s.OK || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0].Message, "nor have the other regions it; see a picture in the vendor's form") {
		t.Errorf("step = %+v", s)
	}
}

func TestCheckOfAHostOfPicturesThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	a := newAtlas(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	_ = l.Close()
	a.at("http://" + dead)
	gone := config.Region{Name: "gone", Photos: dead}
	if s := a.test(gone)["user-photos"]; s.OK || !strings.Contains(s.Message, dead+" does not answer, but "+a.host("na")+" has it") {
		t.Errorf("with a sample: %+v", s)
	}
	a.edit(func(c *run.Connection) { c.Mapping = nil }) // photo of users is mapped no longer
	s := a.test(gone)["user-photos"]
	if s.OK || s.Code != "STOVA_SERVER" || !strings.Contains(s.Message, " but these answer: "+a.host("na")) {
		t.Errorf("without a sample: %+v", s)
	}
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0].Message, "photo of users is not mapped") {
		t.Errorf("warnings = %+v", s)
	}
}

// A host that is none of the vendor's has no other regions: nobody else is asked.
func TestCheckKeepsToTheHostOfTheFile(t *testing.T) {
	t.Parallel()
	a := newAtlas(t)
	a.twin.Fault(stovatest.Fault{Kind: stovatest.PictureFault, Mode: "404"})
	steps := a.test()
	s := steps["user-photos"]
	if !s.OK || len(s.Warnings) != 1 || strings.Contains(s.Warnings[0].Message, "other regions") {
		t.Errorf("step = %+v", s)
	}
	for region, twin := range a.twins {
		if calls := twin.Calls(); len(calls) != 0 {
			t.Errorf("region %s was asked: %v", region, calls)
		}
	}
}

func TestCheckTellsRegionAndAddresses(t *testing.T) {
	t.Parallel()
	a := newAtlas(t)
	u, err := url.Parse(a.twin.URL())
	if err != nil {
		t.Fatal(err)
	}
	steps := a.test(config.Region{Name: "emea", API: u.Hostname(), Photos: "eu.example.test"})
	if s := steps["address"]; !s.OK || s.Message != u.Host+", region emea; pictures from "+u.Host {
		t.Errorf("step = %+v", s)
	}
	var codes []string
	for _, w := range steps["address"].Warnings {
		codes = append(codes, strings.Fields(w.Message)[0])
	}
	slices.Sort(codes)
	if want := []string{"endPoint", "personPhotoEndpoint", "presenterPhotoEndpoint"}; !slices.Equal(codes, want) {
		t.Errorf("warnings about %v, want %v", codes, want)
	}
	if s := steps["settings"]; !s.OK || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0].Message, "requestsPerMinute") {
		t.Errorf("step = %+v", s)
	}
}
