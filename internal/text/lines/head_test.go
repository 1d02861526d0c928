package lines

import "testing"

func TestReadHead(t *testing.T) {
	text, head := ReadHead([]byte("1000-2000 r-xp 00000000 08:01 7   /bin/a b\n# any words\n# build-id cafe /bin/a b\n" +
		"# gate-symbol 10 8 time\n\nno maps line\n3000-4000 ---p 00000000 00:00 0            "))
	want := "1000-2000 r-xp 00000000 08:01 7   /bin/a b\n\n\n\n\nno maps line\n3000-4000 ---p 00000000 00:00 0            "
	if string(text) != want {
		t.Errorf("%q, want %q", text, want)
	}
	if len(head.BuildIDs) != 1 || head.BuildIDs[0] != (BuildID{Path: "/bin/a b", ID: "cafe"}) {
		t.Errorf("build IDs %v", head.BuildIDs)
	}
	if len(head.GateSymbols) != 1 || head.GateSymbols[0] != (GateSymbol{0x10, 8, "time"}) {
		t.Errorf("gate symbols %v", head.GateSymbols)
	}
}
