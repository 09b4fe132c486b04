package pipeline

import (
	"context"
	"errors"
	"time"

	"stovasync/shared/stova"
)

// Rates returns what an account has used of its rate budget, shared by every
// process on this ledger (design.md §7): one item, rewritten with every lease.
// account names the vendor's host and the account; it is no secret.
func (l Ledger) Rates(account string) stova.Rates {
	return rates{items: l.Items, key: rateKey(account)}
}

func rateKey(account string) Key { return Key{"RATE#" + account, "WINDOW"} }

type rates struct {
	items Items
	key   Key
}

func (r rates) Load(ctx context.Context) (stova.Rate, int64, error) {
	var rate stova.Rate
	version, err := load(ctx, r.items, r.key, &rate)
	return rate, version, storeError(err)
}

func (r rates) Save(ctx context.Context, rate stova.Rate, version int64, until time.Time) error {
	w, err := put(r.key, version, rate)
	if err != nil {
		return err
	}
	w.Expires = until
	err = r.items.Write(ctx, w)
	if errors.Is(err, ErrVersion) {
		return stova.ErrStale
	}
	return storeError(err)
}
