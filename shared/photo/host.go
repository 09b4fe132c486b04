package photo

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"stovasync/shared/fault"
)

// refusal is why an address is not asked. It becomes a rejected picture.
type refusal struct{ text string }

func (r *refusal) Error() string { return string(fault.PhotoHost) + ": " + r.text }

func (r *refusal) picture() Picture { return rejected(fault.PhotoHost, r.text) }

func refuse(format string, args ...any) *refusal {
	return &refusal{text: fmt.Sprintf(format, args...)}
}

// hosts are the allowed hosts in normal form.
type hosts []string

// newHosts keeps what is a host name or an address; a port is dropped (P12).
func newHosts(names []string) hosts {
	var out hosts
	for _, n := range names {
		n = strings.TrimPrefix(strings.TrimSpace(n), "*.")
		if _, err := netip.ParseAddr(n); err != nil {
			if u, err := url.Parse("//" + n); err == nil && u.Host != "" {
				n = u.Hostname()
			}
		}
		if h, ok := normalHost(n); ok {
			out = append(out, h)
		}
	}
	return out
}

// allow reports whether host, in normal form, is one of h or, for names, below
// one of them by a dot: evil-eventscloud.com is not below eventscloud.com.
func (h hosts) allow(host string) bool {
	_, err := netip.ParseAddr(host)
	isName := err != nil
	return slices.ContainsFunc(h, func(a string) bool {
		return host == a || isName && strings.HasSuffix(host, "."+a)
	})
}

// normalHost returns a host in lower case, in ASCII form (IDN) and without a
// trailing dot. Numbers that some resolvers take for addresses, as 2130706433
// or 127.1 or 0x7f.1, are no hosts.
func normalHost(h string) (string, bool) {
	h = strings.ToLower(strings.TrimSuffix(h, "."))
	if a, err := netip.ParseAddr(h); err == nil {
		return a.Unmap().String(), a.Zone() == ""
	}
	ascii, err := idna.Lookup.ToASCII(h)
	if err != nil && strings.Trim(h, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == "" {
		ascii, err = h, nil // an underscore is seen in host names all the same
	}
	last := ascii[strings.LastIndexByte(ascii, '.')+1:]
	return ascii, err == nil && last != "" && (last[0] < '0' || last[0] > '9')
}

// check reads an absolute address and says whether it may be asked.
func (f *Fetcher) check(raw string) (*url.URL, *refusal) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, refuse("the address cannot be read")
	}
	return u, f.checkURL(u)
}

// setHost writes the host in its normal form, so that what was checked is what
// is asked.
func setHost(u *url.URL, host string) {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if p := u.Port(); p != "" {
		host += ":" + p
	}
	u.Host = host
}

func (f *Fetcher) checkURL(u *url.URL) *refusal {
	host, why := f.allowed.checkURL(u)
	switch {
	case why != nil:
		return why
	case u.Scheme == "http" && !f.cfg.AllowPrivate:
		return refuse("host %s: http is not allowed", host)
	}
	if a, err := netip.ParseAddr(host); err == nil && !f.cfg.AllowPrivate && !public(a) {
		return refuse("the address is loopback, private or reserved")
	}
	return nil
}

// checkURL writes and returns the address's host in normal form, or says why it is refused.
func (h hosts) checkURL(u *url.URL) (string, *refusal) {
	host, ok := normalHost(u.Hostname())
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return "", refuse("the address is not http or https")
	case u.User != nil:
		return "", refuse("the address holds a user name or password")
	case u.Opaque != "" || !ok:
		return "", refuse("the address has no host name")
	case !h.allow(host):
		return "", refuse("host %s is not allowed", host)
	}
	setHost(u, host)
	return host, nil
}

// reserved are the networks that are neither public nor told apart by netip:
// shared address space, documentation, benchmarks, and the IPv6 networks that
// carry an IPv4 address inside (RFC 6890, RFC 3056, RFC 4380).
func reserved() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "fec0::/10",
	} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// public reports whether a is an address of the open internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if netip.MustParsePrefix("64:ff9b::/96").Contains(a) {
		// How a network with IPv6 only reaches IPv4 (RFC 6052): the address inside counts.
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	return !slices.ContainsFunc(reserved(), func(p netip.Prefix) bool { return p.Contains(a) })
}
