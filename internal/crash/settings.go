package crash

import (
	"encoding/json"
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
	Log    string `json:"log,omitempty"` // a file in place of the system's log
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

func (d *Dir) save(s *Settings) error {
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return d.replace(settingsFile, append(data, '\n'))
}
