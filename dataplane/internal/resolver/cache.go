package resolver

import (
	"cmp"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
)

// keep remembers an answer, and forgets others when there are too many.
func (r *Resolver) keep(name string, a *Answer) *Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.known.Load().Get(name)
	if !ok {
		e = &entry{}
	}
	if !a.Until.IsZero() {
		e.questions.Add(1)
	}
	if a.Err != nil {
		text := a.Err.Error()
		e.lastError.Store(&text)
		e.failures.Add(1)
	}
	e.answer.Store(a)
	e.touch(r.o.Now())
	if ok {
		return a
	}
	edit := r.known.Load().Edit()
	edit.Set(name, e)
	if r.known.Load().Len() >= r.o.CacheSize {
		r.forgetLocked(edit)
	}
	next := edit.Done()
	r.known.Store(&next)
	return a
}

// forgetLocked takes out the tenth of the names that were not used for longest. Watched
// names stay.
func (r *Resolver) forgetLocked(edit *cow.Edit[*entry]) {
	type candidate struct {
		name string
		used int64
	}
	var list []candidate
	r.known.Load().All(func(name string, e *entry) bool {
		if r.watched[name] == nil && r.asking[name] == nil {
			list = append(list, candidate{name, e.used.Load()})
		}
		return true
	})
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Compare(a.used, b.used) })
	for _, c := range list[:min(len(list), r.o.CacheSize/10+1)] {
		edit.Delete(c.name)
	}
}

// State is what is known of a name, for people.
type State struct {
	Name string `json:"name"`
	// Type of the records, or hosts; "" when there is no answer.
	Type    string        `json:"type,omitempty"`
	Records []StateRecord `json:"records"`
	// TTL and ExpiresIn are in seconds; ExpiresIn is negative for an answer that has
	// ended and serves on.
	TTL       float64 `json:"ttl"`
	ExpiresIn float64 `json:"expires_in"`
	Stale     bool    `json:"stale"`
	Watched   bool    `json:"watched"`
	// Error is that of the answer; LastError the last one that there was.
	Error     string `json:"error,omitempty"`
	LastError string `json:"last_error,omitempty"`
	// Hits are look-ups that were answered at once, StaleHits those of them with an
	// answer that had ended.
	Hits      int64 `json:"hits"`
	StaleHits int64 `json:"stale_hits"`
	Questions int64 `json:"questions"`
	Failures  int64 `json:"failures"`
}

// StateRecord is one address of a State.
type StateRecord struct {
	Address string `json:"address"`
	Port    uint16 `json:"port,omitempty"`
	Weight  uint16 `json:"weight,omitempty"`
	Target  string `json:"target,omitempty"`
}

// ServerState is what is known of a name server.
type ServerState struct {
	Address string `json:"address"`
	Asked   int64  `json:"asked"`
	Failed  int64  `json:"failed"`
	// Avoided tells that it gave no answer a moment ago and is asked last.
	Avoided bool `json:"avoided"`
}

// Names returns what is known of all names, in their order. IPs are left out.
func (r *Resolver) Names() []State {
	now := r.o.Now()
	r.mu.Lock()
	watched := make(map[string]bool, len(r.watched))
	for name := range r.watched {
		watched[name] = true
	}
	r.mu.Unlock()
	out := []State{}
	r.known.Load().All(func(name string, e *entry) bool {
		a := e.answer.Load()
		if a.Until.IsZero() {
			return true
		}
		s := State{
			Name: name, Type: a.Type.String(), Records: []StateRecord{}, TTL: a.TTL.Seconds(), ExpiresIn: a.Until.Sub(now).Round(time.Millisecond).Seconds(),
			Stale: a.Err == nil && a.TTL > 0 && !now.Before(a.Until), Watched: watched[name],
			Hits: e.hits.Load(), StaleHits: e.stale.Load(), Questions: e.questions.Load(), Failures: e.failures.Load(),
		}
		if a.Err != nil {
			s.Error = a.Err.Error()
		}
		if last := e.lastError.Load(); last != nil {
			s.LastError = *last
		}
		for _, rec := range a.Records {
			sr := StateRecord{Address: rec.Addr.String(), Port: rec.Port, Target: rec.Target}
			if a.Type == SRV {
				sr.Weight = rec.Weight
			}
			s.Records = append(s.Records, sr)
		}
		out = append(out, s)
		return true
	})
	slices.SortFunc(out, func(a, b State) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Servers returns what is known of the name servers.
func (r *Resolver) Servers() []ServerState {
	now := r.o.Now()
	out := make([]ServerState, len(r.servers))
	for i, s := range r.servers {
		at := s.failedAt.Load()
		out[i] = ServerState{s.address, s.asked.Load(), s.failed.Load(), at != 0 && now.Sub(time.Unix(0, at)) < avoidFor}
	}
	return out
}
