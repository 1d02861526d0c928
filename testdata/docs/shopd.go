// Shopd is a service whose requests hang: one waits for an answer that never comes, and
// holds the lock that all the others need.
package main

import (
	"fmt"
	"sync"
	"time"
)

type store struct {
	mu   sync.Mutex
	rows map[string]string
}

var upstream = make(chan string)

func (s *store) load(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if row, ok := s.rows[key]; ok {
		return row
	}
	return s.fetch(key)
}

func (s *store) fetch(key string) string {
	return key + <-upstream
}

func handle(s *store, request string) {
	fmt.Println(s.load(request))
}

func main() {
	s := &store{rows: map[string]string{}}
	// As in a real service, something is still to come: else the runtime ends the program.
	time.AfterFunc(time.Hour, func() {})
	go func() {
		time.Sleep(50 * time.Millisecond)
		for i := range 40 {
			go handle(s, fmt.Sprint("request ", i))
		}
		time.Sleep(50 * time.Millisecond)
		fmt.Println("ready")
	}()
	handle(s, "first")
}
