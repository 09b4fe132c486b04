package preview

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// maxOwners is how many stored owners are looked at, at most.
const maxOwners = 5000

// ownerKind is a type whose records name pictures.
type ownerKind struct {
	name string // owner_type
	of   run.DataType
}

// ownerKinds are the owners of a photo type's pictures (spotme-model.md §5.5 to
// §5.7): sponsors have a logo only where it is mapped.
func (p *previewer) ownerKinds() []ownerKind {
	if p.req.Type == run.PresenterPhotos {
		return []ownerKind{{"presenter", run.Presenters}}
	}
	kinds := []ownerKind{{"person", run.Users}}
	if p.set.Maps(run.Sponsors, pipeline.PictureField(run.Sponsors)) {
		kinds = append(kinds, ownerKind{"sponsor", run.Sponsors})
	}
	return kinds
}

// pictures previews a photo type: the stored owners that name a picture, and
// what is known of it. Nothing is fetched, so no call is made at all.
func (p *previewer) pictures(ctx context.Context) error {
	looked := 0
	var ids []string
	for _, kind := range p.ownerKinds() {
		for r, err := range p.env.Records.Scan(ctx, p.conn.Name, kind.of, pipeline.Scan{}) {
			if err != nil {
				return storeError(fmt.Errorf("read the owners of %s: %w", p.req.Type, err))
			}
			if p.report.Sampled == p.req.Sample || looked == maxOwners {
				break
			}
			looked++
			if !p.erased.Has(r.ID) && p.picture(kind, r) {
				ids = append(ids, r.ID)
			}
		}
	}
	if err := p.states(ctx, ids); err != nil {
		return err
	}
	p.warnOff()
	p.warnPictures(looked)
	for _, f := range p.found {
		p.report.Synced = append(p.report.Synced, f.masked())
	}
	if len(p.found) > 0 {
		p.report.Statuses = map[string]int{"active": len(p.found)}
	}
	p.report.Fields = p.fields()
	return nil
}

// picture files what an owner names, and reports whether it would be fetched.
func (p *previewer) picture(kind ownerKind, owner pipeline.Record) bool {
	if value, _ := owner.Fields[pipeline.PictureField(kind.of)].(string); value == "" {
		return false
	}
	p.report.Sampled++
	if owner.Status != "active" {
		p.filter(owner.ID, "P11", "its owner is "+owner.Status+": only pictures of active owners are fetched")
		return false
	}
	address, err := pipeline.PictureURL(p.conn, p.req.Type, kind.of, owner)
	if err != nil {
		text := "its value makes no address"
		if f, ok := errors.AsType[*fault.Error](err); ok {
			text = f.Msg
		}
		p.report.Rejected = append(p.report.Rejected, Rejected{ID: owner.ID, Code: string(fault.PhotoHost), Reason: text})
		return false
	}
	p.found = append(p.found, found{
		Result: mapping.Result{ID: owner.ID, Status: "active", Fields: map[string]any{
			"owner_type": kind.name, "owner_ext_id": owner.ID, "source_url": address, "state": "new",
		}},
		plain: computed(p.req.Type),
	})
	return true
}

// states looks up what is stored of the pictures: new, stored, missing or
// rejected, or changed where their owner names another one since. Then the
// addresses are masked.
func (p *previewer) states(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	stored, err := p.env.Records.Get(ctx, p.conn.Name, p.req.Type, ids)
	if err != nil {
		return storeError(fmt.Errorf("read %d photo records: %w", len(ids), err))
	}
	for _, f := range p.found {
		if old, ok := stored[f.ID]; ok && old.RemovedAt.IsZero() {
			if old.Fields["source_url"] != f.Fields["source_url"] {
				f.Fields["state"] = "changed"
			} else if state, ok := old.Fields["state"].(string); ok {
				f.Fields["state"] = state
			}
		}
		address, _ := f.Fields["source_url"].(string)
		f.Fields["source_url"] = maskAddress(address)
	}
	return nil
}

// maskAddress hides the path of a picture's address. Its host is one of the
// connection's own, which is what people look at.
func maskAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return cut
	}
	return u.Scheme + "://" + u.Host + "/" + cut + extension(u.Path)
}

// warnPictures says why there may be no picture.
func (p *previewer) warnPictures(looked int) {
	switch {
	case looked == 0:
		p.warn(run.Warning{Code: string(fault.GateUsersFirst), Message: fmt.Sprintf("%s: no %s are stored yet; sync %s first", p.req.Type, p.req.Type.Owner(), p.req.Type.Owner())})
	case !p.set.Maps(p.req.Type.Owner(), "photo"):
		p.warn(run.Warning{Code: warnUnmapped, Message: fmt.Sprintf("%s: photo of %s is not mapped; preview %s shows which column holds the picture", p.req.Type, p.req.Type.Owner(), p.req.Type.Owner())})
	case looked == maxOwners && p.report.Sampled < p.req.Sample:
		p.warn(run.Warning{Code: warnShort, Message: fmt.Sprintf("%s: %d of %d pictures were found among the first %d owners that are stored", p.req.Type, p.report.Sampled, p.req.Sample, looked)})
	}
}
