//go:build linux

package crash

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Journal is the value of Options.Log for systemd's journal. "journal:SOCKET" is one that
// listens elsewhere, such as that of a journal namespace.
const Journal = "journal"

// journalSocket is where journald listens.
const journalSocket = "/run/systemd/journal/socket"

// appendField appends a field in the journal's own protocol ("Native Journal Protocol" of
// systemd.io): NAME=value and a newline; or, of a value with newlines, the name and a
// newline, the value's length in 8 bytes, the value and a newline.
func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	if strings.ContainsRune(value, '\n') {
		b = append(b, '\n')
		b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	} else {
		b = append(b, '=')
	}
	b = append(b, value...)
	return append(b, '\n')
}

// toJournal sends an entry to the journal: as a datagram, or, where that is too large, in
// a memfd. It does not wait long for a journal that does not read.
func toJournal(socket string, entry []byte) error {
	const wait = 2 * time.Second
	d := net.Dialer{Timeout: wait}
	c, err := d.Dial("unixgram", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	conn := c.(*net.UnixConn)
	conn.SetWriteDeadline(time.Now().Add(wait))
	if _, err = conn.Write(entry); !errors.Is(err, unix.EMSGSIZE) && !errors.Is(err, unix.ENOBUFS) {
		return err
	}
	f, err := sealed(entry)
	if err != nil {
		return err
	}
	defer f.Close()
	conn.SetWriteDeadline(time.Now().Add(wait))
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	// WriteMsgUnix does not send on a connected socket.
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), nil, unix.UnixRights(int(f.Fd())), nil, 0)
		return sent != unix.EAGAIN
	})
	return errors.Join(err, sent)
}

// sealed puts data into memory that a file stands for and nobody can change any more:
// journald takes no other from a socket.
func sealed(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("journal-entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "journal-entry")
	if _, err = f.Write(data); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
