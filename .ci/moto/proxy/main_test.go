package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

func TestGatePassesOneRequestAtATime(t *testing.T) {
	t.Parallel()
	var inside, most, passed atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if n := inside.Add(1); n > most.Load() {
			most.Store(n)
		}
		passed.Add(1)
		inside.Add(-1)
	}))
	defer server.Close()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	gate := newGate(target)
	proxy := httptest.NewServer(gate)
	defer proxy.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, proxy.URL, nil)
				req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20310304/eu-west-1/sqs/aws4_request, SignedHeaders=host")
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 || passed.Load() != 200 {
		t.Errorf("%d requests at once, %d in all, want 1 and 200", most.Load(), passed.Load())
	}
	if err := gate.report([]string{"sqs"}); err != nil {
		t.Errorf("report with a service that was asked: %v", err)
	}
	if err := gate.report([]string{"sqs", "ssm"}); err == nil {
		t.Error("report with a service that nobody asked is no error")
	}
}
