package pipeline

import (
	"context"
	"fmt"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// describeEvent fills in what the plan's pages must know of the event. The
// streams of a run share one description, so that their times agree and the
// vendor is asked once.
func (s *Steps) describeEvent(ctx context.Context, j job, src Source, p *Plan) error {
	key := eventObject(j.Connection, j.Task.Run)
	ok, err := getJSON(ctx, s.Objects, key, &p.Event)
	if err != nil {
		return err
	}
	if !ok {
		// The streams of a run are planned at once; one of them asks for all.
		described, err, _ := s.events.Do(key, func() (any, error) { return s.askEvent(ctx, j, src, key) })
		if err != nil {
			return err
		}
		p.Event, _ = described.(EventInfo)
	}
	if p.Event.Zone == "" {
		p.Event.Zone = j.Conn.Timezone
	}
	if p.Event.Zone == "" {
		p.Event.Zone = "UTC"
		p.Warnings = append(p.Warnings, run.Warning{
			Code: string(fault.ConfigInvalid), Message: "the event does not tell its time zone and the setting timezone is absent: times are taken as UTC",
		})
	}
	return s.describeStream(ctx, j, src, p)
}

// askEvent asks the vendor for the event and keeps the first answer of the run.
func (s *Steps) askEvent(ctx context.Context, j job, src Source, key string) (EventInfo, error) {
	var info EventInfo
	if ok, err := getJSON(ctx, s.Objects, key, &info); err != nil || ok {
		return info, err
	}
	e, err := src.Event(ctx)
	if err != nil {
		return EventInfo{}, err
	}
	info = EventInfo{ID: j.Conn.EventID, Name: e.Name, Zone: e.Zone, Language: e.Language}
	if _, err := putJSON(ctx, s.Objects, key, info, true); err != nil {
		return EventInfo{}, err
	}
	_, err = getJSON(ctx, s.Objects, key, &info)
	return info, err
}

// describeStream adds what only one stream needs. Neither list is worth
// failing a run: that of the last complete plan does for once. Without any,
// columns are reached by id and sessions keep the ids of their tracks.
func (s *Steps) describeStream(ctx context.Context, j job, src Source, p *Plan) error {
	switch p.Stream {
	case run.Attendees:
		qs, err := src.Questions(ctx)
		if err != nil {
			return s.tolerate(ctx, j, p, err, "questions")
		}
		for _, q := range qs {
			p.Event.Questions = append(p.Event.Questions, Question{ID: q.ID, FieldName: q.FieldName, Name: q.Name, Page: q.Page, InputType: q.InputType})
		}
	case run.SessionStream:
		tracks, err := src.Tracks(ctx)
		if err != nil {
			return s.tolerate(ctx, j, p, err, "tracks")
		}
		p.Event.Tracks = make(map[string]string, len(tracks))
		for _, t := range tracks {
			p.Event.Tracks[t.ID] = t.Name
		}
	}
	return nil
}

// tolerate makes do with the last complete plan's questions or tracks and a
// warning, unless the account itself is refused or told to wait. A list that is
// missing for once must not look like a changed form: that would be a full plan.
func (s *Steps) tolerate(ctx context.Context, j job, p *Plan, err error, list string) error {
	switch code := fault.CodeOf(err); code {
	case fault.StovaAuth, fault.StovaEvent, fault.StovaRate, "":
		return err
	default:
		p.Warnings = append(p.Warnings, run.Warning{Code: string(code), Message: fmt.Sprintf("the vendor's list of %s could not be read; that of the last complete run is used, if there is one", list)})
	}
	cur, err := s.Ledger.Cursor(ctx, j.Connection, j.Type)
	if err != nil || cur.Plan == "" {
		return err
	}
	last, ok, err := s.readPlan(ctx, cur.Plan)
	if ok {
		p.Event.Questions, p.Event.Tracks = last.Event.Questions, last.Event.Tracks
	}
	if fault.IsPermanent(err) {
		return nil // damaged: as if there were none
	}
	return err
}

// zone returns the event's time zone.
func (e EventInfo) zone() (*time.Location, error) {
	zone, err := time.LoadLocation(e.Zone)
	if err != nil {
		return nil, fault.Permanent(fault.Wrap(fault.ConfigInvalid, err, fmt.Sprintf("time zone %q is unknown", e.Zone), "set timezone to an IANA name"))
	}
	return zone, nil
}

// mapper returns the mapping of a job bound to the event of its plan.
func (j job) mapper(e EventInfo) (*mapping.Mapper, error) {
	zone, err := e.zone()
	if err != nil {
		return nil, err
	}
	me := mapping.Event{ID: e.ID, Zone: zone, Language: e.Language, Tracks: e.Tracks}
	for _, q := range e.Questions {
		me.Questions = append(me.Questions, mapping.Question{ID: q.ID, FieldName: q.FieldName, Name: q.Name, Page: q.Page, InputType: q.InputType})
	}
	return j.Set.For(me), nil
}

var _ Source = (*stova.Client)(nil)
