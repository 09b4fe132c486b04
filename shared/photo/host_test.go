package photo

import (
	"net/netip"
	"testing"
)

func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"8.8.8.8": true, "100.63.255.255": true, "100.128.0.1": true, "172.15.0.1": true, "172.32.0.1": true, "2606:4700::1": true,
		"::ffff:8.8.8.8": true, "64:ff9b::808:808": true,
		"100.64.0.1": false, "100.127.255.255": false, "172.31.255.255": false, "169.254.0.1": false, "192.0.0.8": false, "198.19.0.1": false,
		"240.0.0.1": false, "0.1.2.3": false, "::ffff:192.168.0.1": false, "::7f00:1": false, "64:ff9b::a00:1": false, "64:ff9b:1::1": false,
		"2001::1": false, "2002:a00:1::": false, "fec0::1": false, "fc00::1": false, "fe80::1%eth0": false, "ff0e::1": false,
	} {
		if got := public(netip.MustParseAddr(in)); got != want {
			t.Errorf("public(%s) = %v, want %v", in, got, want)
		}
	}
}

func TestDialIsChecked(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{"8.8.8.8:443": true, "[2606:4700::1]:443": true, "127.0.0.1:443": false, "[::1]:80": false, "[fe80::1%eth0]:80": false, "host:80": false, "": false} {
		if err := checkDial(in); (err == nil) != want {
			t.Errorf("checkDial(%q) = %v, want allowed %v", in, err, want)
		}
	}
	if newTransport(1, false).Proxy != nil {
		t.Error("the transport has a proxy, whose address would be checked in place of the picture's")
	}
}
