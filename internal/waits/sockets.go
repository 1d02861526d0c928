//go:build linux

package waits

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/escape"
)

// maxNet bounds what is read of each list of sockets in /proc/PID/net, which are those
// of the process's own network namespace.
const maxNet = 16 << 20

// sockets is what /proc/PID/net tells, by the inode numbers of the sockets.
type sockets struct {
	about map[string]string   // addresses and state, or a path
	tcp   map[string]tcpPair  // of connections
	peers map[tcpPair]string  // the inode of a connection between these addresses
	unix  map[string]struct{} // those that can be connected to one other socket
}

// tcpPair are the two ends of a connection.
type tcpPair struct{ local, remote netip.AddrPort }

func newSockets() *sockets {
	return &sockets{
		about: make(map[string]string), tcp: make(map[string]tcpPair),
		peers: make(map[tcpPair]string), unix: make(map[string]struct{}),
	}
}

// sockets reads the lists of the process's network namespace, once.
func (f *files) sockets() *sockets {
	if f.net != nil {
		return f.net
	}
	f.net = newSockets()
	for _, proto := range []string{"tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6", "icmp", "icmp6"} {
		if b, err := f.dir.ReadUpTo("net/"+proto, 4096, maxNet); err == nil {
			f.net.addInet(strings.ToUpper(strings.TrimSuffix(proto, "6")), string(b))
		}
	}
	if b, err := f.dir.ReadUpTo("net/unix", 4096, maxNet); err == nil {
		f.net.addUnix(string(b))
	}
	for _, proto := range []string{"netlink", "packet"} {
		if b, err := f.dir.ReadUpTo("net/"+proto, 4096, maxNet); err == nil {
			f.net.addLast(proto, string(b))
		}
	}
	return f.net
}

// tcpStates are those of include/net/tcp_states.h.
var tcpStates = [...]string{1: "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
	"CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV"}

// addInet reads the lines of /proc/net/tcp and its like: "sl: local remote state … inode",
// where the addresses are hexadecimal words in the CPU's byte order.
func (n *sockets) addInet(proto, text string) {
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 10 || w[0] == "sl" {
			continue
		}
		local, ok := inetAddr(w[1])
		remote, ok2 := inetAddr(w[2])
		if !ok || !ok2 || w[9] == "0" {
			continue
		}
		about := proto + " " + local.String()
		if remote.Port() != 0 {
			about += " to " + remote.String()
		}
		if state, err := strconv.ParseUint(w[3], 16, 8); err == nil && proto == "TCP" && state < uint64(len(tcpStates)) && state > 0 {
			about += ", " + tcpStates[state]
		}
		n.about[w[9]] = about
		if proto == "TCP" && remote.Port() != 0 {
			// A socket of IPv6 can have an address of IPv4.
			pair := tcpPair{unmap(local), unmap(remote)}
			n.tcp[w[9]], n.peers[pair] = pair, w[9]
		}
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// inetAddr reads "0100007F:1F90".
func inetAddr(s string) (a netip.AddrPort, ok bool) {
	host, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return a, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	ip, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(ip, uint16(n)), true
}

// unixTypes are the types of sockets, include/linux/net.h.
var unixTypes = map[string]string{"0001": "stream", "0002": "datagram", "0005": "seqpacket"}

// maxUnixPath is how long the path of a socket can be: UNIX_PATH_MAX in
// include/uapi/linux/un.h.
const maxUnixPath = 108

// addUnix reads the lines of /proc/net/unix: "num: refs protocol flags type state inode
// path"; the path may hold blanks.
func (n *sockets) addUnix(text string) {
	const listens = "00010000" // __SO_ACCEPTCON
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 7 || w[0] == "Num" || w[6] == "0" {
			continue
		}
		about := strings.TrimRight("unix "+unixTypes[w[4]], " ")
		if len(w) > 7 {
			_, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "+w[6]+" ")
			about += " " + escape.Name(path[:min(len(path), maxUnixPath)])
		}
		if w[3] == listens {
			about += ", LISTEN"
		} else if t := unixTypes[w[4]]; t == "stream" || t == "seqpacket" {
			n.unix[w[6]] = struct{}{}
		}
		n.about[w[6]] = about
	}
}

// addLast reads lines whose last word is the inode.
func (n *sockets) addLast(about, text string) {
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) > 1 {
			n.about[w[len(w)-1]] = about
		}
	}
}

// sockaddr is where a struct sockaddr leads: the family, and what its kind has.
func sockaddr(b []byte) string {
	if len(b) < 2 {
		return ""
	}
	switch binary.NativeEndian.Uint16(b) {
	case unix.AF_INET:
		if len(b) >= 8 {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])).String()
		}
	case unix.AF_INET6:
		if len(b) >= 24 {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), binary.BigEndian.Uint16(b[2:])).String()
		}
	case unix.AF_UNIX:
		path := string(b[2:])
		if strings.HasPrefix(path, "\x00") && len(path) > 1 {
			return "@" + escape.Name(strings.TrimRight(path[1:], "\x00"))
		}
		path, _, _ = strings.Cut(path, "\x00")
		return escape.Name(path)
	}
	return ""
}
