package app_test

import (
	"context"
	"io"

	"stovasync/shared/erase"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
)

// brittleStore is a store for erasures whose writes fail as b says.
func brittleStore(s erase.Store, b *brittle) erase.Store {
	s.Items = brittleItems{s.Items, b}
	s.Records = brittleRecords{s.Records, b}
	s.Objects = brittleObjects{s.Objects, b}
	s.Secrets = brittleSecrets{s.Secrets, b}
	scrub := s.Scrub
	s.Scrub = func(ctx context.Context, connection string) error {
		return b.do(func() error { return scrub(ctx, connection) })
	}
	return s
}

type brittleItems struct {
	pipeline.Items
	b *brittle
}

func (i brittleItems) Write(ctx context.Context, writes ...pipeline.Write) error {
	return i.b.do(func() error { return i.Items.Write(ctx, writes...) })
}

type brittleRecords struct {
	erase.Records
	b *brittle
}

func (r brittleRecords) Erase(ctx context.Context, connection string, t run.DataType, ids []string) (n int, err error) {
	err = r.b.do(func() error { n, err = r.Records.Erase(ctx, connection, t, ids); return err })
	return n, err
}

type brittleObjects struct {
	pipeline.Objects
	b *brittle
}

func (o brittleObjects) Put(ctx context.Context, key string, body io.ReadSeeker, info pipeline.ObjectInfo) (made bool, err error) {
	err = o.b.do(func() error { made, err = o.Objects.Put(ctx, key, body, info); return err })
	return made, err
}

func (o brittleObjects) Delete(ctx context.Context, keys ...string) error {
	return o.b.do(func() error { return o.Objects.Delete(ctx, keys...) })
}

type brittleSecrets struct {
	erase.Secrets
	b *brittle
}

func (s brittleSecrets) Create(ctx context.Context, name, key string) (made bool, err error) {
	err = s.b.do(func() error { made, err = s.Secrets.Create(ctx, name, key); return err })
	return made, err
}
