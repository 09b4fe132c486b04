package photo

import (
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// newTransport dials public addresses only, unless private is set. The check
// is made on the address that is about to be dialled, so a name that resolves
// anew to a private one is refused too. There is no proxy, not even the
// environment's: through one, the proxy's address would be checked in place of
// the picture's.
func newTransport(concurrency int, private bool) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if !private {
		dialer.Control = func(_, address string, _ syscall.RawConn) error { return checkDial(address) }
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           2 * concurrency,
		MaxIdleConnsPerHost:    concurrency,
		IdleConnTimeout:        time.Minute,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// checkDial refuses an IP address and port that are not of the open internet.
func checkDial(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !public(ap.Addr()) {
		return refuse("the host resolves to a loopback, private or reserved address")
	}
	return nil
}
