package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"stovasync/shared/run"
)

// photoDomain is the vendor's domain for pictures (design.md §9, P12).
const photoDomain = "eventscloud.com"

// bases are the addresses of a region's pictures where a file names none
// (interface.md): the vendor's folder of uploads, and its image.php
// (stova-api.md §9).
func bases(region string) map[string]string {
	return map[string]string{
		"personPhotoEndpoint":    personBase(region),
		"presenterPhotoEndpoint": "https://" + region + "." + photoDomain + "/image.php?acc={accountid}&id={id}",
	}
}

// Region is one of the vendor's regions: its name as API hosts spell it, the
// API's host, and the host of its pictures, which spells it otherwise
// (spotme-model.md §2, R14).
type Region struct{ Name, API, Photos string }

// Regions are the vendor's regions.
func Regions() []Region {
	return []Region{
		{"na", "api-na." + photoDomain, "na." + photoDomain},
		{"emea", "api-emea." + photoDomain, "eu." + photoDomain},
		{"apac", "api-apac." + photoDomain, "au." + photoDomain},
	}
}

// regions pairs the vendor's documented API hosts with the names its photo
// hosts use for the same region.
func regions() map[string]string {
	out := map[string]string{}
	for _, r := range Regions() {
		out[r.API], _, _ = strings.Cut(r.Photos, ".")
	}
	return out
}

// personBases are the three bases the vendor serves user photos from (R14).
func personBases() []string {
	return []string{personBase("na"), personBase("eu"), personBase("au")}
}

func personBase(region string) string {
	return "https://" + region + "." + photoDomain + "/ereg/uploadfiles/"
}

// addresses reads the three addresses and adds the photo hosts to those allowed.
func (r *reader) addresses() {
	host := r.readEndPoint()
	region := regions()[host]
	if host != "" && region == "" {
		r.warn("endPoint host %s is not one of the three the vendor documents", host)
	}
	r.c.PersonPhotoEndpoint = r.photoEndpoint(r.personPhotos, "personPhotoEndpoint", region)
	r.c.PresenterPhotoEndpoint = r.photoEndpoint(r.presenterPhotos, "presenterPhotoEndpoint", region)
	if host != "" {
		r.warnNoPhotos(r.c.PersonPhotoEndpoint, "personPhotoEndpoint", run.UserPhotos)
		r.warnNoPhotos(r.c.PresenterPhotoEndpoint, "presenterPhotoEndpoint", run.PresenterPhotos)
	}
	if p := r.c.PersonPhotoEndpoint; p != "" && underDomain(hostOf(p), photoDomain) && !slices.Contains(personBases(), withSlash(p)) {
		r.warn("personPhotoEndpoint is none of the three regional bases %s", strings.Join(personBases(), " "))
	}
}

func withSlash(s string) string { return strings.TrimSuffix(s, "/") + "/" }

func (r *reader) warnNoPhotos(endpoint, name string, t run.DataType) {
	if endpoint == "" && slices.Contains(r.c.DataTypes, t) {
		r.warn("%s is absent and the end point's region gives none; %s find no picture", name, t)
	}
}

// readEndPoint stores the end point as https://HOST/api/v2 and returns its host
// without port, or "".
func (r *reader) readEndPoint() string {
	var raw string
	if r.endPoint.kind == null || !r.scalar(r.endPoint, "endPoint", &raw) {
		return ""
	}
	const form = "write https://HOST/api/v2, as in https://api-emea.eventscloud.com/api/v2"
	u, why := r.address(raw)
	if why == "" && (strings.TrimSuffix(u.EscapedPath(), "/") != "/api/v2" || u.RawQuery != "" || u.ForceQuery) {
		why = "does not end in /api/v2"
	}
	if why != "" {
		r.problem(r.endPoint.at, "endPoint "+why, form)
		return ""
	}
	r.c.EndPoint = u.Scheme + "://" + u.Host + "/api/v2"
	return u.Hostname()
}

// address reads an absolute address and normalises its host, or says what is
// wrong with it. The address itself is never part of the text: it may hold a
// password or a token.
func (r *reader) address(raw string) (*url.URL, string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || u.Host == "":
		return nil, "is not an address"
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, "is not an https address"
	case u.User != nil:
		return nil, "holds a user name or password"
	case strings.Contains(raw, "#"):
		return nil, "holds a #"
	case u.Scheme == "http" && !r.c.AllowPrivateHosts:
		return nil, "is http, which only allowPrivateHosts: true accepts"
	}
	host, ok := normalHost(u.Hostname())
	switch {
	case !ok:
		return nil, "has a host that is not a host name"
	case private(host) && !r.c.AllowPrivateHosts:
		return nil, "has a loopback or private host, which only allowPrivateHosts: true accepts"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if p := u.Port(); p != "" {
		host += ":" + p
	}
	u.Host = host
	return u, ""
}

// normalHost returns h in lower case, in ASCII form and without a trailing
// dot; false if it is no host name and no plain IP address.
func normalHost(h string) (string, bool) {
	h = strings.ToLower(strings.TrimSuffix(h, "."))
	if a, err := netip.ParseAddr(h); err == nil {
		return a.Unmap().String(), a.Zone() == ""
	}
	h, err := idna.Lookup.ToASCII(h)
	last := h[strings.LastIndexByte(h, '.')+1:]
	// A last label that starts with a digit is an IP address in disguise, as in 127.1.
	return h, err == nil && last != "" && (last[0] < '0' || last[0] > '9')
}

// private reports whether a host is plainly loopback or private. Names that
// only resolve to such addresses are refused where they are dialled.
func private(host string) bool {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost" || strings.HasSuffix(host, ".localhost")
	}
	return !a.IsGlobalUnicast() || a.IsPrivate()
}

// underDomain reports whether host is domain or a subdomain of it.
func underDomain(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

var placeholderPattern = regexp.MustCompile(`\{([^{}]*)\}`)

// photoEndpoint reads a base or template for pictures, the region's where there
// is none. {host} is replaced by
// the region's photo host; the other placeholders stay for each picture. A
// template without {id} and {name} is a base, to which the picture is added.
func (r *reader) photoEndpoint(n node, name, region string) string {
	var raw string
	switch {
	case n.blank() && region == "":
		return ""
	case n.blank():
		raw = bases(region)[name]
	case !r.scalar(n, name, &raw):
		return ""
	}
	if strings.Contains(raw, "{host}") {
		if region == "" {
			r.problem(n.at, name+" uses {host}, but the end point's region is not known", "write the host itself")
			return ""
		}
		raw = strings.ReplaceAll(raw, "{host}", region+"."+photoDomain)
	}
	if !r.placeholders(n.at, name, raw) {
		return ""
	}
	plain := placeholderPattern.ReplaceAllString(raw, "0")
	u, why := r.address(plain)
	switch {
	case why == "" && strings.ContainsAny(plain, "{}"):
		why = "has an unpaired { or }"
	case why == "" && strings.Contains(u.Path, ".."):
		why = "holds .."
	}
	if why != "" {
		r.problem(n.at, name+" "+why, "write a base as in "+personBase("eu")+" or a template with {accountid} {eventid} {id} {name}")
		return ""
	}
	r.allowPhotoHost(u.Hostname(), name)
	return raw
}

// placeholders reports whether raw holds only known placeholders, none of them
// in the host.
func (r *reader) placeholders(at Position, name, raw string) bool {
	known := []string{"{accountid}", "{eventid}", "{id}", "{name}", "{host}"}
	good := true
	for _, p := range placeholderPattern.FindAllString(raw, -1) {
		if !slices.Contains(known, p) {
			r.unknown(pair{key: p, at: at}, "placeholder in "+name, known)
			good = false
		}
	}
	_, rest, _ := strings.Cut(raw, "://")
	authority, _, _ := strings.Cut(rest, "/")
	if good && strings.ContainsAny(authority, "{}") {
		r.problem(at, name+" has a placeholder in its host", "write the host itself, or {host} for the region's")
		good = false
	}
	return good
}

// allowPhotoHost adds the host of a configured endpoint to those allowed, with
// a warning if it is not the vendor's (P12). Ports do not matter.
func (r *reader) allowPhotoHost(host, name string) {
	if !underDomain(host, photoDomain) {
		r.warn("%s is on %s, which is not %s; pictures are fetched from there all the same", name, host, photoDomain)
	}
	if !slices.ContainsFunc(r.c.AllowedPhotoHosts, func(d string) bool { return underDomain(host, d) }) {
		r.c.AllowedPhotoHosts = append(r.c.AllowedPhotoHosts, host)
	}
}

// hostOf returns the host of an address that was checked before.
func hostOf(address string) string {
	u, err := url.Parse(placeholderPattern.ReplaceAllString(address, "0"))
	if err != nil {
		return ""
	}
	h, _ := normalHost(u.Hostname())
	return h
}

func (r *reader) allowedPhotoHosts(n node) {
	entries, ok := r.entries(n, "allowedPhotoHosts")
	if !ok {
		return
	}
	hosts := []string{}
	for _, e := range entries {
		h, good := normalHost(strings.TrimPrefix(e.text, "*."))
		switch {
		case !good:
			r.problem(e.at, fmt.Sprintf("allowedPhotoHosts holds %s, which is not a host name", shown(e.text)), "write a host without scheme, port and path, as in eventscloud.com; its subdomains are allowed with it")
		case !slices.Contains(hosts, h):
			hosts = append(hosts, h)
		}
	}
	r.c.AllowedPhotoHosts = hosts
}
