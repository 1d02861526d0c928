//go:build linux

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/gate/store"
	"github.com/gatedso/bt/internal/gate/vdso"
	"github.com/gatedso/bt/internal/names/debugfile"
)

// gateRegister is bt gate register.
type gateRegister struct{ *target }

func newGateRegister(a *app) *cobra.Command {
	c := new(gateRegister)
	cmd := &cobra.Command{
		Use:   "register [FILE...]",
		Short: "Register gate images: those of the running kernel, or files",
		Long: `Puts gate images into the state directory, one file per build ID, from where bt
takes the one that a process has mapped. Without FILE it dumps the images of all
ABIs that the running kernel serves; where a file of the same build with all
symbols is installed, that is taken instead. Where the kernel has the sysctl
kernel.gate_dso, and it can be written, it is set to the image of bt's own ABI.`,
		RunE: func(_ *cobra.Command, args []string) error { return c.register(args) },
	}
	c.target = newTarget(a, cmd)
	c.stateDirFlag()
	c.debugFlags()
	c.set.StringVar(&c.sysroot, "sysroot", "", "look for /lib/modules below `DIR`")
	c.procfsFlag()
	c.verboseFlag(c.set)
	return cmd
}

// gateUnregister is bt gate unregister.
type gateUnregister struct{ *target }

func newGateUnregister(a *app) *cobra.Command {
	c := new(gateUnregister)
	cmd := &cobra.Command{
		Use:   "unregister [BUILDID|FILE...]",
		Short: "Remove registered gate images, all without an argument",
		Long: `Removes gate images from the state directory: all of them, or those of the build
IDs given, or of the same build as a file. The sysctl kernel.gate_dso is emptied
where it holds one of them.`,
		RunE:    func(_ *cobra.Command, args []string) error { return c.unregister(args) },
		Example: `  bt gate unregister`,
	}
	cmd.ValidArgsFunction = c.completeImages
	c.target = newTarget(a, cmd)
	c.stateDirFlag()
	c.procfsFlag()
	return cmd
}

// stateDirs are the directories of registered images, the one to write to
// first.
func (t *target) stateDirs() []string { return store.Dirs(t.stateDir, os.Getenv, os.Geteuid()) }

// register registers the files at paths, or the running kernel's images.
func (a *gateRegister) register(paths []string) error {
	images, err := a.imagesToRegister(paths)
	if err != nil {
		return err
	}
	s, err := store.Create(a.stateDirs()[0])
	if err != nil {
		return err
	}
	finder := a.session().DebugFiles()
	for _, im := range images {
		path, wrote, err := s.Add(a.richest(im, finder))
		if err != nil {
			return err
		}
		what := "registered"
		if !wrote {
			what = "already registered"
		}
		if _, err := fmt.Fprintf(a.stdout, "%s %s %s %s\n", what, im.ABI(), hex.EncodeToString(im.BuildID()), escape.Name(path)); err != nil {
			return err
		}
	}
	return a.setSysctl(s, images)
}

// imagesToRegister reads the files at paths. Without any it gets the images of
// all ABIs.
func (a *gateRegister) imagesToRegister(paths []string) ([]*vdso.Image, error) {
	var images []*vdso.Image
	for _, path := range paths {
		im, err := vdso.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if im.BuildID() == nil {
			return nil, fmt.Errorf("%s: it has no build ID to register it by: use --gate-dso", path)
		}
		if !vdso.Native(im.Machine) {
			return nil, fmt.Errorf("%s is for another machine (%s): no process here can have it", path, im.Machine)
		}
		images = append(images, im)
	}
	if len(paths) > 0 {
		return images, nil
	}
	for _, abi := range vdso.ABIs() {
		im, err := vdso.ForABI(abi)
		switch {
		case err == nil:
			images = append(images, im)
		case errors.Is(err, vdso.ErrNoABI):
			a.verbosef("%v", err)
		default:
			a.incomplete("%v", err)
		}
	}
	if len(images) == 0 {
		return nil, errors.New("this kernel has no gate image to register")
	}
	return images, nil
}

// richest returns the file that tells most of im.
func (a *gateRegister) richest(im *vdso.Image, finder *debugfile.Finder) *vdso.Image {
	best := vdso.Richest(im, vdso.Places(im.BuildID(), a.sysroot, a.debugDirs))
	if best.Full() {
		if best != im {
			a.verbosef("%s: the same build with all symbols is %s", im.From, best.From)
		}
		return best
	}
	if d, via, _ := finder.Find(im.Image, ""); d != nil {
		best = vdso.Richest(im, []string{d.Name})
		if best == im {
			a.verbosef("%s: more names are in %s (by %s), which has no code: bt finds them there", im.From, d.Name, via)
		}
	}
	return best
}

// setSysctl sets the sysctl to the registered image of bt's own ABI.
func (a *gateRegister) setSysctl(s *store.Store, images []*vdso.Image) error {
	if _, ok := store.ReadSysctl(a.procfs); !ok {
		return nil
	}
	var id []byte
	if own, err := vdso.Own(); err == nil {
		id = own.BuildID()
	} else {
		id = images[0].BuildID() // a kernel that shows no image of its own
	}
	path, ok := s.Lookup(id)
	if !ok {
		a.errorf("kernel.gate_dso is left as it is: the running kernel's image is not registered (bt gate register)")
		return nil
	}
	err := store.WriteSysctl(a.procfs, path)
	if errors.Is(err, fs.ErrPermission) {
		a.errorf("kernel.gate_dso is left as it is: %v: run as root to set it", err)
		return nil
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "kernel.gate_dso = %s\n", escape.Name(path))
	return err
}

// unregister removes the images that args name, or all.
func (a *gateUnregister) unregister(args []string) error {
	s, err := store.Open(a.stateDirs()[0])
	if errors.Is(err, fs.ErrNotExist) && len(args) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := s.List()
	if err != nil {
		return err
	}
	if len(args) > 0 {
		if list, err = chosen(list, args); err != nil {
			return err
		}
	}
	for _, e := range list {
		if err := s.Remove(e); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(a.stdout, "unregistered %s\n", e.BuildID); err != nil {
			return err
		}
	}
	return a.emptySysctl(s)
}

// chosen returns the entries that args name.
func chosen(list []store.Entry, args []string) ([]store.Entry, error) {
	var picked []store.Entry
	for _, arg := range args {
		id := strings.ToLower(arg)
		if im, err := vdso.ReadFile(arg); err == nil {
			id = hex.EncodeToString(im.BuildID())
		}
		found := false
		for _, e := range list {
			if e.BuildID == id || sameFile(e.Path, arg) {
				found = true
				if !slices.Contains(picked, e) {
					picked = append(picked, e)
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("%q is not registered", arg)
		}
	}
	return picked, nil
}

// emptySysctl empties the sysctl where it names a file of s that is gone.
func (a *gateUnregister) emptySysctl(s *store.Store) error {
	value, ok := store.ReadSysctl(a.procfs)
	if !ok || filepath.Dir(value) != s.Dir {
		return nil
	}
	if _, err := os.Lstat(value); err == nil {
		return nil
	}
	return store.WriteSysctl(a.procfs, "")
}
