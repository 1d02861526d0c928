package symbolize

import "github.com/gatedso/bt/internal/image"

// takeGo sets w to what Go's own table says.
func (w *Where) takeGo(im *image.Image, link uint64) bool {
	return false
}
