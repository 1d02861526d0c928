//go:build linux

package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
)

// Settings is what Install leaves for the handler and for Uninstall.
type Settings struct {
	Pattern string `json:"pattern"` // what was installed
	// Previous is the pattern that it has replaced, and PreviousPipeLimit the
	// kernel.core_pipe_limit.
	Previous          string `json:"previous"`
	PreviousPipeLimit int    `json:"previous_pipe_limit"`

	Limits Limits `json:"limits"`
	Log    string `json:"log,omitempty"` // see Options.Log
	// Format is FormatJSON where the log is to have objects instead of lines.
	Format string `json:"format,omitempty"`
	// Chain says that the handler which was replaced gets the core, too.
	Chain bool `json:"chain,omitempty"`
}

const settingsFile = "settings.json"

// Settings reads the settings: the defaults, and an error, where that fails.
func (d *Dir) Settings() (Settings, error) {
	s := Settings{Limits: DefaultLimits}
	data, err := d.read(settingsFile, 64<<10)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return Settings{Limits: DefaultLimits}, fmt.Errorf("%s: %w", filepath.Join(d.Path, settingsFile), err)
	}
	return s, nil
}

// settle saves the settings and calls do. Where that fails, the settings are
// again what they were: a handler must find its own.
func (d *Dir) settle(s *Settings, do func() error) error {
	before, readErr := d.read(settingsFile, 64<<10)
	if err := d.save(s); err != nil {
		return err
	}
	err := do()
	switch {
	case err == nil:
		return nil
	case readErr == nil:
		return errors.Join(err, d.replace(settingsFile, before))
	}
	return errors.Join(err, d.remove(settingsFile))
}

func (d *Dir) save(s *Settings) error {
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return d.replace(settingsFile, append(data, '\n'))
}
