package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"stovasync/shared/config"
	"stovasync/shared/fault"
	"stovasync/shared/stova/stovatest"
)

// twinFlags say which event the twin makes and how it behaves.
type twinFlags struct {
	listen string
	event  stovatest.Options
	server stovatest.ServerOptions
	faults []string
}

// addEvent adds the flags that demo takes too.
func (f *twinFlags) addEvent(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.event.Attendees, "attendees", 500, "attendees, sponsors included")
	cmd.Flags().Uint64Var(&f.event.Seed, "seed", 0, "another number makes another event")
}

func (c *cli) twinCommand() *cobra.Command {
	var f twinFlags
	cmd := &cobra.Command{
		Use:   "twin",
		Short: "Serve an invented event as the vendor would",
		Long: `Serves an invented event over HTTP as the Stova API does, until it is
interrupted, so that everything can be tried without an account. Standard output
is a connection file for ` + "`connections put`" + `.

Faults on demand: --fault SPEC, as often as you like. SPEC is
` + stovatest.FaultHelp(),
		Example: "  stovasync twin --listen 127.0.0.1:8470 > twin.yaml &\n  stovasync connections put twin.yaml\n  stovasync twin --fault 429:after=50,times=1,retry-after=2",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.twin(cmd, f) },
	}
	f.add(cmd)
	return cmd
}

// add adds all flags.
func (f *twinFlags) add(cmd *cobra.Command) {
	f.addEvent(cmd)
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:0", "address to listen on; port 0 is any\n")
	cmd.Flags().IntVar(&f.event.Sessions, "sessions", 40, "sessions of the event")
	cmd.Flags().IntVar(&f.event.Speakers, "speakers", 30, "speakers of the event")
	cmd.Flags().IntVar(&f.event.Sponsors, "sponsors", 12, "sponsors among the attendees")
	cmd.Flags().IntVar(&f.event.Levels, "levels", 4, "sponsor levels")
	cmd.Flags().BoolVar(&f.event.Oddities, "oddities", false, "put in one of every odd row the vendor sends")
	cmd.Flags().DurationVar(&f.server.Delay, "delay", 0, "wait this long before every answer, such as 100ms")
	cmd.Flags().StringArrayVar(&f.faults, "fault", nil, "something that goes wrong, as above; may be repeated")
}

// check refuses numbers that mean nothing. The generator takes 0 for its
// default; given as a flag, 0 is none.
func (f *twinFlags) check(cmd *cobra.Command) error {
	for name, n := range map[string]*int{
		"attendees": &f.event.Attendees, "sessions": &f.event.Sessions, "speakers": &f.event.Speakers,
		"sponsors": &f.event.Sponsors, "levels": &f.event.Levels,
	} {
		switch {
		case *n < 0:
			return invalid("use 0 or more", "--%s %d is negative", name, *n)
		case *n == 0 && cmd.Flags().Changed(name):
			*n = -1
		}
	}
	for _, spec := range f.faults {
		fl, err := stovatest.ParseFault(spec)
		if err != nil {
			return err
		}
		f.server.Faults = append(f.server.Faults, fl)
	}
	return nil
}

// serve starts the twin; it ends with ctx.
func (f *twinFlags) serve(ctx context.Context) (*stovatest.Running, *stovatest.Event, error) {
	e := stovatest.Generate(f.event)
	r, err := stovatest.NewServer(e, f.server).Listen(ctx, f.listen)
	if err != nil {
		return nil, nil, fault.Wrap(fault.ConfigInvalid, err, "the twin cannot listen on "+f.listen, "give another address with --listen")
	}
	return r, e, nil
}

// twinView is what `twin --json` prints once it listens.
type twinView struct {
	URL        string `json:"url"`
	EndPoint   string `json:"endPoint"`
	AccountID  string `json:"accountid"`
	EventID    string `json:"eventid"`
	Key        string `json:"key"`
	Connection string `json:"connection"` // a connection file
}

func (c *cli) twin(cmd *cobra.Command, f twinFlags) error {
	if strings.HasPrefix(c.target, string(config.AWS)+":") {
		return invalid("leave --target out, and sync from the twin on a local target", "the twin listens on this machine, which no function on AWS can reach")
	}
	if err := f.check(cmd); err != nil {
		return err
	}
	ctx := cmd.Context()
	r, e, err := f.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it only stops listening
	file := twinConnection("twin", r, e)
	if c.json {
		err = printJSON(c.out, twinView{r.URL(), r.EndPoint(), e.AccountID, e.ID, e.Key, file})
	} else {
		err = c.line("# The Stova twin listens on %s, account %s, event %s.\n# It and everybody in it are invented, the key too.\n%s", r.URL(), e.AccountID, e.ID, file)
	}
	if err != nil {
		return err
	}
	c.say("The twin listens on %s until it is interrupted.\n", r.URL())
	select {
	case <-ctx.Done():
		return nil
	case <-r.Done():
		return fault.New(fault.StovaServer, "the twin has stopped listening", "start it again")
	}
}

// twinRate lifts our own limit of calls: the twin is nobody's account.
const twinRate = 100_000

// twinConnection is the file of a connection to the twin, key and all.
func twinConnection(name string, r *stovatest.Running, e *stovatest.Event) string {
	return fmt.Sprintf(`name: %s
endPoint: %s
accountid: "%s"
eventid: "%s"
key: %s
personPhotoEndpoint: %s
presenterPhotoEndpoint: %s
allowPrivateHosts: true      # the twin is on this machine
requestsPerMinute: %d    # and has no limit; the vendor's is 400
retryBaseSeconds: %s
ConcurrentSessionsTitle: Parallel sessions
mapping:
  users:
    photo: responses.photo
  sessions:
    in_slot: in_slot
`, name, r.EndPoint(), e.AccountID, e.ID, e.Key, r.PersonPhotos(), r.PresenterPhotos(), twinRate, twinRetryBase)
}

// twinRetryBase makes retries short, in seconds.
const twinRetryBase = "0.1"
