//go:build linux

package crash

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A crash has to wait for one of a few places among the handlers that work at
// the same time. Whoever can make programs crash could keep all of them busy, so
// they are shared out by owner (see owner): the last place is for root alone, an
// owner has at most half of them and never the last free one beside another of
// his, and no owner can have more than ownWaiting handlers waiting: the kernel
// starts pipeLimit at a time, and loses the core of each crash beyond.

// ownWaiting is how many handlers wait for one owner other than root.
const ownWaiting = pipeLimit * 3 / 4

// slotsLock is held while places are looked at and taken.
const slotsLock = ".slots"

// waitPrefix is that of the files of handlers that wait: .wait-OWNER-PID.
const waitPrefix = ".wait-"

var (
	errNoPlace   = errors.New("other crashes are being handled")
	errQueueFull = errors.New("of the same owner wait already")
)

// place is what a handler holds while it works. It is free again when its holder
// ends, however it does.
type place struct {
	index int
	f     *os.File
}

func (p *place) release() { p.f.Close() }

// place waits for one of n places, at most for the time given: else the error is
// errNoPlace, or errQueueFull where waiting is not permitted.
func (d *Dir) place(n int, owner string, wait time.Duration) (*place, error) {
	const pause = 40 * time.Millisecond
	leave, err := d.queue(owner)
	if err != nil {
		return nil, err
	}
	defer leave()
	for end := time.Now().Add(wait); ; time.Sleep(pause) {
		if p, err := d.takePlace(n, owner); p != nil || err != nil {
			return p, err
		}
		if !time.Now().Before(end) {
			return nil, fmt.Errorf("%d %w", n, errNoPlace)
		}
	}
}

// takePlace takes a place where one is free for owner; else it returns nil.
func (d *Dir) takePlace(n int, owner string) (*place, error) {
	unlock, err := d.lock(slotsLock)
	if err != nil {
		return nil, err
	}
	defer unlock()
	usable := n
	if owner != rootOwner && n > 1 {
		usable-- // the last is root's
	}
	var taken *place
	own, free := 0, 0
	for i := range usable {
		f, err := d.open(fmt.Sprintf(".slot-%d", i), unix.O_RDWR|unix.O_CREAT)
		if err != nil {
			if taken != nil {
				taken.release()
			}
			return nil, err
		}
		switch {
		case unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil:
			if holder, _ := io.ReadAll(io.LimitReader(f, 64)); string(holder) == owner {
				own++
			}
			f.Close()
		default:
			free++
			if taken == nil {
				taken = &place{i, f}
			} else {
				f.Close()
			}
		}
	}
	if taken == nil {
		return nil, nil
	}
	if owner != rootOwner && own > 0 && (own >= (n+1)/2 || free < 2) {
		taken.release()
		return nil, nil
	}
	err = taken.f.Truncate(0)
	if err == nil {
		_, err = taken.f.WriteAt([]byte(owner), 0)
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) { // a full disk is no reason to lose the log line
		taken.release()
		return nil, err
	}
	return taken, nil
}

// queue notes that a handler waits for owner. leave takes the note away.
func (d *Dir) queue(owner string) (leave func(), err error) {
	if owner == rootOwner {
		return func() {}, nil
	}
	unlock, err := d.lock(slotsLock)
	if err != nil {
		return nil, err
	}
	defer unlock()
	prefix := waitPrefix + owner + "-"
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	waiting := 0
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		f, err := d.open(name, unix.O_RDWR)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			d.remove(name) // its handler was killed
		} else {
			waiting++
		}
		f.Close()
	}
	if waiting >= ownWaiting {
		return nil, fmt.Errorf("%d crashes %w", waiting, errQueueFull)
	}
	name := fmt.Sprintf("%s%d", prefix, os.Getpid())
	f, err := d.open(name, unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		d.remove(name)
		f.Close()
	}, nil
}
