package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"stovasync/shared/fault"
	"stovasync/shared/mapping"
	"stovasync/shared/photo"
	"stovasync/shared/pipeline"
	"stovasync/shared/run"
	"stovasync/shared/stova"
)

// connector opens what connections read from, and keeps it as long as the
// process lives: a client holds a token and open sockets.
type connector struct {
	secrets     pipeline.Secrets
	ledger      pipeline.Ledger // of the accounts' rate budgets
	concurrency int
	tempDir     string
	now         func() time.Time

	mu      sync.Mutex
	clients map[string]*stova.Client       // by settings and key
	photos  map[string]*photo.Fetcher      // by settings
	sets    map[string]*mapping.Set        // by settings
	budgets map[string]*stova.LeasedBudget // by account and rate
}

func newConnector(secrets pipeline.Secrets, ledger pipeline.Ledger, concurrency int, now func() time.Time) *connector {
	return &connector{
		secrets: secrets, ledger: ledger, concurrency: concurrency, now: now,
		clients: map[string]*stova.Client{}, photos: map[string]*photo.Fetcher{},
		sets: map[string]*mapping.Set{}, budgets: map[string]*stova.LeasedBudget{},
	}
}

// fingerprint names settings, and whatever else a value was made from, without
// keeping it.
func fingerprint(parts ...any) string {
	doc, err := json.Marshal(parts)
	if err != nil {
		panic(err) // plain data always encodes
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:16])
}

// Source returns the client of a connection.
func (c *connector) Source(ctx context.Context, conn run.Connection) (pipeline.Source, error) {
	client, err := c.client(ctx, conn)
	if err != nil {
		return nil, err // not client, which would be a non-nil interface
	}
	return client, nil
}

func (c *connector) client(ctx context.Context, conn run.Connection) (*stova.Client, error) {
	key, err := c.secrets.Get(ctx, conn.Name)
	if errors.Is(err, pipeline.ErrNoSecret) {
		return nil, fault.Permanent(fault.New(fault.ConfigInvalid, fmt.Sprintf("connection %s has no key", conn.Name), "give it with connections put FILE --key-file F"))
	}
	if err != nil {
		return nil, err
	}
	noteKey(ctx, key)
	c.mu.Lock()
	defer c.mu.Unlock()
	id := fingerprint(conn, key)
	if client, ok := c.clients[id]; ok {
		return client, nil
	}
	client, err := stova.New(stova.Config{
		EndPoint: conn.EndPoint, AccountID: conn.AccountID, Key: key, EventID: conn.EventID,
		RetryBase: retryBase(conn), Concurrency: c.concurrency, Budget: c.budget(conn),
		AllowPrivate: conn.AllowPrivateHosts, Now: c.now, Rand: rand.Float64,
	})
	if err != nil {
		return nil, fault.Permanent(err)
	}
	c.clients[id] = client
	return client, nil
}

// budget is shared by the connections of an account that state one rate, and
// through the ledger by every other process. Connections that state other rates
// take their calls from the same windows, each no more than its own rate and
// all no more than the highest: see stova.RateWindow. Only rates below 12 a
// minute have windows of their own.
func (c *connector) budget(conn run.Connection) *stova.LeasedBudget {
	account := accountOf(conn)
	id := fmt.Sprintf("%s %d", account, conn.RequestsPerMinute)
	if b, ok := c.budgets[id]; ok {
		return b
	}
	b := stova.NewLeasedBudget(stova.LeaseConfig{Rates: c.ledger.Rates(account), PerMinute: conn.RequestsPerMinute, Now: c.now})
	c.budgets[id] = b
	return b
}

// accountOf names the account whose limit of requests the vendor counts: both
// API families of a host count for it.
func accountOf(conn run.Connection) string {
	host := conn.EndPoint
	if u, err := url.Parse(conn.EndPoint); err == nil {
		host = u.Host
	}
	return strings.ToLower(host) + "#" + conn.AccountID
}

func retryBase(conn run.Connection) time.Duration {
	return time.Duration(conn.RetryBaseSeconds * float64(time.Second))
}

// Downloader returns the fetcher of pictures of a connection.
func (c *connector) Downloader(conn run.Connection) pipeline.Downloader {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := fingerprint(conn)
	if f, ok := c.photos[id]; ok {
		return f
	}
	f := photo.New(photo.Config{
		AllowedHosts: conn.AllowedPhotoHosts, AllowPrivate: conn.AllowPrivateHosts,
		Concurrency: c.concurrency, RetryBase: retryBase(conn), Rand: rand.Float64, TempDir: c.tempDir,
	})
	c.photos[id] = f
	return f
}

// Mapping returns the compiled mapping of a connection.
func (c *connector) Mapping(conn run.Connection) (*mapping.Set, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := fingerprint(conn.Mapping, conn.Filters, conn.ActiveStatuses, conn.InactivePolicy)
	if s, ok := c.sets[id]; ok {
		return s, nil
	}
	s, err := mapping.Compile(MappingSettings(conn))
	if err != nil {
		return nil, err
	}
	c.sets[id] = s
	return s, nil
}

// MappingSettings is what a connection says about mapping.
func MappingSettings(conn run.Connection) mapping.Settings {
	return mapping.Settings{
		Mapping: conn.Mapping, Filters: conn.Filters,
		ActiveStatuses: conn.ActiveStatuses, InactivePolicy: conn.InactivePolicy,
	}
}
