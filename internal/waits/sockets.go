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

// socket is what procfs tells of the socket with an inode number: its addresses and its
// state, or its path.
func (f *files) socket(inode string) string {
	if f.inodes == nil {
		f.inodes = make(map[string]string)
		for _, proto := range []string{"tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6", "icmp", "icmp6"} {
			if b, err := f.dir.ReadUpTo("net/"+proto, 4096, maxNet); err == nil {
				addInet(f.inodes, strings.ToUpper(strings.TrimSuffix(proto, "6")), string(b))
			}
		}
		if b, err := f.dir.ReadUpTo("net/unix", 4096, maxNet); err == nil {
			addUnix(f.inodes, string(b))
		}
		for _, proto := range []string{"netlink", "packet"} {
			if b, err := f.dir.ReadUpTo("net/"+proto, 4096, maxNet); err == nil {
				addLast(f.inodes, proto, string(b))
			}
		}
	}
	return f.inodes[inode]
}

// tcpStates are those of include/net/tcp_states.h.
var tcpStates = [...]string{1: "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
	"CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV"}

// addInet reads the lines of /proc/net/tcp and its like: "sl: local remote state … inode",
// where the addresses are hexadecimal words in the CPU's byte order.
func addInet(out map[string]string, proto, text string) {
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
		if n, err := strconv.ParseUint(w[3], 16, 8); err == nil && proto == "TCP" && n < uint64(len(tcpStates)) && n > 0 {
			about += ", " + tcpStates[n]
		}
		out[w[9]] = about
	}
}

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

// addUnix reads the lines of /proc/net/unix: "num: refs protocol flags type state inode
// path"; the path may hold blanks.
func addUnix(out map[string]string, text string) {
	const listens = "00010000" // __SO_ACCEPTCON
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 7 || w[0] == "Num" || w[6] == "0" {
			continue
		}
		about := strings.TrimRight("unix "+unixTypes[w[4]], " ")
		if len(w) > 7 {
			_, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "+w[6]+" ")
			about += " " + escape.Name(path)
		}
		if w[3] == listens {
			about += ", LISTEN"
		}
		out[w[6]] = about
	}
}

// addLast reads lines whose last word is the inode.
func addLast(out map[string]string, about, text string) {
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) > 1 {
			out[w[len(w)-1]] = about
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
