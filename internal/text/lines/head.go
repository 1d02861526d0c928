package lines

import "bytes"

// ReadHead takes apart a saved copy of /proc/PID/maps: the lines of the maps
// themselves, and what comment lines among them say. Comment lines are blank in
// mapsText, so that an error in another line gives its number.
func ReadHead(text []byte) (mapsText []byte, head Head) {
	for line := range bytes.Lines(text) {
		switch l := parseLine(line); l.form {
		case formBuildID:
			head.BuildIDs = append(head.BuildIDs, l.id)
		case formGateSymbol:
			head.GateSymbols = append(head.GateSymbols, l.symbol)
		case formComment:
		default:
			mapsText = append(mapsText, line...)
			continue
		}
		mapsText = append(mapsText, '\n')
	}
	return mapsText, head
}
