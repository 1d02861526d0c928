//go:build linux

package waits

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/stack"
)

// peers are the processes that hold the other end of a connected socket of this machine.
// They are not all who can end a wait for it: what was sent may be on its way.
func (f *files) peers(inode string) []stack.Party {
	if inode == "" || f.asked == maxAsked {
		return nil
	}
	n := f.sockets()
	other := ""
	if pair, ok := n.tcp[inode]; ok {
		other = n.peers[tcpPair{pair.remote, pair.local}]
	} else if _, ok := n.unix[inode]; ok && f.netns.is(f, "net") {
		f.asked++
		other = unixPeer(inode)
	}
	if other == "" || other == "0" {
		return nil
	}
	var list []stack.Party
	ends := f.run.ends()
	for _, e := range ends.by["socket:["+other+"]"] {
		if len(list) > 0 && list[len(list)-1].PID == e.pid {
			continue
		}
		if p, ok := f.process(e.pid); ok {
			fd := e.fd
			p.FD = &fd
			list = append(list, p)
		}
	}
	return list
}

// maxAsked is of how many unix sockets of a process the kernel is asked for the peer.
const maxAsked = 1 << 12

// What is asked of the kernel about a unix socket (include/uapi/linux/unix_diag.h,
// sock_diag.h, netlink.h).
const (
	sockDiagByFamily = 20
	unixShowPeer     = 4 // UDIAG_SHOW_PEER
	unixDiagPeer     = 2 // UNIX_DIAG_PEER
	diagMessage      = 16
)

// unixPeer returns the inode number of the socket that a unix socket of bt's own network
// namespace is connected to, "" where the kernel does not tell.
func unixPeer(inode string) string {
	ino, err := strconv.ParseUint(inode, 10, 32)
	if err != nil {
		return ""
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	// The kernel answers while it is asked: nothing else is waited for.
	if unix.Sendto(fd, unixRequest(uint32(ino)), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return ""
	}
	b := make([]byte, 4096)
	size, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
	if err != nil {
		return ""
	}
	if peer, ok := parseUnixPeer(b[:size], uint32(ino)); ok {
		return strconv.FormatUint(uint64(peer), 10)
	}
	return ""
}

// unixRequest is a struct nlmsghdr and a struct unix_diag_req.
func unixRequest(ino uint32) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN+24)
	order := binary.NativeEndian
	order.PutUint32(b, uint32(len(b)))
	order.PutUint16(b[4:], sockDiagByFamily)
	order.PutUint16(b[6:], unix.NLM_F_REQUEST)
	req := b[unix.NLMSG_HDRLEN:]
	req[0] = unix.AF_UNIX
	order.PutUint32(req[4:], ^uint32(0)) // all states
	order.PutUint32(req[8:], ino)
	order.PutUint32(req[12:], unixShowPeer)
	order.PutUint64(req[16:], ^uint64(0)) // no cookie
	return b
}

// parseUnixPeer finds the peer's number in an answer: a struct nlmsghdr, a struct
// unix_diag_msg, and attributes of a length and a type each.
func parseUnixPeer(b []byte, ino uint32) (peer uint32, ok bool) {
	order := binary.NativeEndian
	if len(b) < unix.NLMSG_HDRLEN+diagMessage || order.Uint16(b[4:]) != sockDiagByFamily {
		return 0, false
	}
	b = b[unix.NLMSG_HDRLEN:min(len(b), int(min(order.Uint32(b), 1<<20)))]
	if len(b) < diagMessage || order.Uint32(b[4:]) != ino {
		return 0, false
	}
	for b = b[diagMessage:]; len(b) >= 4; {
		size := int(order.Uint16(b))
		if size < 4 || size > len(b) {
			return 0, false
		}
		if order.Uint16(b[2:]) == unixDiagPeer && size >= 8 {
			return order.Uint32(b[4:]), true
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return 0, false
}
