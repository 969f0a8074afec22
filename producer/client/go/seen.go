package fusionai

import (
	"container/list"
	"sync"
)

// SeenEvents are the ids of events that have come, in this process: events are delivered at least once. The zero value
// is ready; keep one. Several goroutines may use it.
type SeenEvents struct {
	mutex sync.Mutex
	known map[string]*list.Element
	order list.List
}

// mostSeen is how many ids are kept: those of a few hours of a busy account.
const mostSeen = 100_000

// Seen notes an id, and says whether it was noted before.
func (s *SeenEvents) Seen(id string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if at, known := s.known[id]; known {
		s.order.MoveToBack(at)
		return true
	}
	if s.known == nil {
		s.known = map[string]*list.Element{}
	}
	s.known[id] = s.order.PushBack(id)
	if s.order.Len() > mostSeen {
		s.drop(s.order.Front())
	}
	return false
}

// Forget lets an event in again, which could not be acted on after all.
func (s *SeenEvents) Forget(id string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if at, known := s.known[id]; known {
		s.drop(at)
	}
}

func (s *SeenEvents) drop(at *list.Element) {
	delete(s.known, at.Value.(string))
	s.order.Remove(at)
}
