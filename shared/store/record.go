package store

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"stovasync/shared/pipeline"
)

// Attributes of the envelope, named as in spotme-model.md §5.1 and
// interface.md; content_fetched_at, created_run and expires are the store's
// own. The first is not called fetched_at, which is a field of photo records.
const (
	attrID           = "fp_ext_id"
	attrType         = "fp_type"
	attrStatus       = "fp_status"
	attrOwner        = "fp_owner"
	attrProtect      = "fp_protect"
	attrHash         = "content_hash"
	attrLastModified = "source_lastmodified"
	attrRun          = "run"
	attrCreatedRun   = "created_run"
	attrFetchedAt    = "content_fetched_at"
	attrUpdatedAt    = "updated_at"
	attrRemovedAt    = "removed_at"
)

// Envelope returns the names that no mapped field may have, since they are
// attributes of the record itself.
func Envelope() []string {
	return []string{
		attrPK, attrID, attrType, attrStatus, attrOwner, attrProtect, attrHash, attrLastModified,
		attrRun, attrCreatedRun, attrFetchedAt, attrUpdatedAt, attrRemovedAt, attrExpires,
	}
}

// stampLayout is RFC 3339 with all nine digits, so that times in UTC compare
// as text.
const stampLayout = "2006-01-02T15:04:05.000000000Z"

func stamp(t time.Time) string { return t.UTC().Format(stampLayout) }

func stampOf(av types.AttributeValue) (time.Time, error) {
	s := textOf(av)
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, s)
}

// recordBuilder gathers the expressions of one record's update. Names of
// fields come from outside, so all of them are placeholders.
type recordBuilder struct {
	names       map[string]string
	values      map[string]types.AttributeValue
	set, remove []string
}

func (b *recordBuilder) name(attr string) string {
	n := "#n" + strconv.Itoa(len(b.names))
	b.names[n] = attr
	return n
}

func (b *recordBuilder) value(av types.AttributeValue) string {
	v := ":v" + strconv.Itoa(len(b.values))
	b.values[v] = av
	return v
}

func (b *recordBuilder) put(attr string, av types.AttributeValue) {
	b.set = append(b.set, b.name(attr)+" = "+b.value(av))
}

func (b *recordBuilder) drop(attr string) { b.remove = append(b.remove, b.name(attr)) }

// putText stores a string of the envelope; an empty one is absent.
func (b *recordBuilder) putText(attr, s string) {
	if s == "" {
		b.drop(attr)
		return
	}
	b.put(attr, text(s))
}

// recordChange is an update as DynamoDB's expressions. lift says that the
// record is a tombstone and shall not stay one.
func recordChange(u pipeline.RecordUpdate, now time.Time, lift bool) (change, error) {
	b := &recordBuilder{names: map[string]string{}, values: map[string]types.AttributeValue{}}
	if u.ID == "" {
		return change{}, errors.New("update a record without an id")
	}
	if err := b.fields(u); err != nil {
		return change{}, fmt.Errorf("update record %s: %w", u.ID, err)
	}
	b.put(attrUpdatedAt, text(stamp(now)))
	condition := ""
	if u.Content != nil {
		condition = b.content(*u.Content, lift)
	} else {
		condition = "attribute_exists(" + b.name(attrPK) + ") AND attribute_not_exists(" + b.name(attrRemovedAt) + ")"
	}
	expr := "SET " + strings.Join(b.set, ", ")
	if len(b.remove) > 0 {
		expr += " REMOVE " + strings.Join(b.remove, ", ")
	}
	return change{update: expr, condition: &condition, names: b.names, values: b.values}, nil
}

// fields adds the mapped fields. A field both set and unset is set.
func (b *recordBuilder) fields(u pipeline.RecordUpdate) error {
	envelope := Envelope()
	for _, name := range slices.Sorted(maps.Keys(u.Set)) {
		if name == "" || slices.Contains(envelope, name) {
			return fmt.Errorf("field %q is part of the record's envelope", name)
		}
		av, err := encodeField(u.Set[name])
		if err != nil {
			return fmt.Errorf("field %q: %w", name, err)
		}
		if av == nil {
			b.drop(name) // empty fields are absent
			continue
		}
		b.put(name, av)
	}
	unset := slices.Compact(slices.Sorted(slices.Values(u.Unset)))
	for _, name := range unset {
		if name == "" || slices.Contains(envelope, name) {
			return fmt.Errorf("field %q is part of the record's envelope", name)
		}
		if _, both := u.Set[name]; !both {
			b.drop(name)
		}
	}
	return nil
}

// content adds the envelope and returns the condition under which it may be
// written: never over content that was fetched later.
func (b *recordBuilder) content(c pipeline.Record, lift bool) string {
	b.putText(attrType, c.Type)
	b.putText(attrStatus, c.Status)
	b.putText(attrOwner, c.Owner)
	b.putText(attrHash, c.Hash)
	b.putText(attrLastModified, c.LastModified)
	b.putText(attrRun, c.Run)
	fetched := b.value(text(stamp(c.FetchedAt)))
	name := b.name(attrFetchedAt)
	b.set = append(b.set, name+" = "+fetched)
	notNewer := "(attribute_not_exists(" + name + ") OR " + name + " <= " + fetched + ")"
	removed := b.name(attrRemovedAt)
	created := b.name(attrCreatedRun)
	if lift {
		b.set = append(b.set, created+" = "+b.value(text(c.Run)))
		b.remove = append(b.remove, removed, b.name(attrExpires))
		return "attribute_exists(" + removed + ") AND " + notNewer
	}
	b.set = append(b.set, created+" = if_not_exists("+created+", "+b.value(text(c.Run))+")")
	return "attribute_not_exists(" + removed + ") AND " + notNewer
}

// tombstone is the item of a removed record: its envelope and nothing else.
func tombstone(pk string, r pipeline.Record, now time.Time) map[string]types.AttributeValue {
	attrs := recordKey(pk, r.ID)
	for name, value := range map[string]string{
		attrType: r.Type, attrStatus: r.Status, attrOwner: r.Owner, attrHash: r.Hash, attrLastModified: r.LastModified,
		attrRun: r.Run, attrCreatedRun: r.CreatedRun, attrFetchedAt: stamp(r.FetchedAt),
		attrUpdatedAt: stamp(now), attrRemovedAt: stamp(now),
	} {
		if value != "" {
			attrs[name] = text(value)
		}
	}
	attrs[attrExpires] = number(now.Add(tombstoneLife).Unix())
	if len(r.Protect) > 0 {
		attrs[attrProtect] = textList(r.Protect)
	}
	return attrs
}

// encodeField returns the attribute of a field's value, or nil for an empty one.
func encodeField(v any) (types.AttributeValue, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		if v == "" {
			return nil, nil
		}
		return text(v), nil
	case bool:
		return &types.AttributeValueMemberBOOL{Value: v}, nil
	case int64:
		return number(v), nil
	case int:
		return number(int64(v)), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errors.New("not a finite number")
		}
		return encodeNumber(strconv.FormatFloat(v, 'g', -1, 64))
	case []string:
		if len(v) == 0 {
			return nil, nil
		}
		return textList(v), nil
	default:
		return nil, fmt.Errorf("a value of type %T is not one of a record", v)
	}
}

func textList(list []string) types.AttributeValue {
	avs := make([]types.AttributeValue, len(list))
	for i, s := range list {
		avs[i] = text(s)
	}
	return &types.AttributeValueMemberL{Value: avs}
}

// decodeField returns a field's value. DynamoDB knows one kind of number: a
// whole one that fits is an int64, any other a float64.
func decodeField(av types.AttributeValue) (any, error) {
	switch av := av.(type) {
	case *types.AttributeValueMemberS:
		return av.Value, nil
	case *types.AttributeValueMemberBOOL:
		return av.Value, nil
	case *types.AttributeValueMemberN:
		if n, err := strconv.ParseInt(av.Value, 10, 64); err == nil {
			return n, nil
		}
		f, err := strconv.ParseFloat(av.Value, 64)
		if err != nil {
			return nil, errors.New("a number that is none")
		}
		return f, nil
	case *types.AttributeValueMemberL:
		return textsOf(av)
	default:
		return nil, fmt.Errorf("an attribute of type %T is not of ours", av)
	}
}

func textsOf(list *types.AttributeValueMemberL) ([]string, error) {
	out := make([]string, len(list.Value))
	for i, e := range list.Value {
		s, ok := e.(*types.AttributeValueMemberS)
		if !ok {
			return nil, fmt.Errorf("a list with an element of type %T is not of ours", e)
		}
		out[i] = s.Value
	}
	return out, nil
}

// decodeRecord turns the attributes of an item into a record.
func decodeRecord(attrs map[string]types.AttributeValue) (pipeline.Record, error) {
	r := pipeline.Record{
		ID: textOf(attrs[attrID]), Type: textOf(attrs[attrType]), Status: textOf(attrs[attrStatus]),
		Owner: textOf(attrs[attrOwner]), Hash: textOf(attrs[attrHash]), LastModified: textOf(attrs[attrLastModified]),
		Run: textOf(attrs[attrRun]), CreatedRun: textOf(attrs[attrCreatedRun]), Fields: map[string]any{},
	}
	var errs [3]error
	r.FetchedAt, errs[0] = stampOf(attrs[attrFetchedAt])
	r.UpdatedAt, errs[1] = stampOf(attrs[attrUpdatedAt])
	r.RemovedAt, errs[2] = stampOf(attrs[attrRemovedAt])
	if errors.Join(errs[:]...) != nil {
		return r, fmt.Errorf("record %s: a time of its envelope is not RFC 3339", r.ID)
	}
	envelope := Envelope()
	for name, av := range attrs {
		if slices.Contains(envelope, name) {
			continue
		}
		v, err := decodeField(av)
		if err != nil {
			return r, fmt.Errorf("record %s field %q: %w", r.ID, name, err)
		}
		r.Fields[name] = v
	}
	if list, ok := attrs[attrProtect].(*types.AttributeValueMemberL); ok {
		protect, err := textsOf(list)
		if err != nil {
			return r, fmt.Errorf("record %s field %q: %w", r.ID, attrProtect, err)
		}
		r.Protect = protect
	}
	return r, nil
}
