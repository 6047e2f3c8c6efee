package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// repair changes an entity in the data plane's memory and measures until it is again what
// was applied.
func (b *bench) repair(ctx context.Context, p *planes, at string) error {
	rounds := 3
	var took, read []float64
	copies := 0
	for i := range rounds {
		host := fmt.Sprintf("flip-%d-%s.bench", i, strconv.FormatInt(time.Now().UnixNano(), 36))
		_, header, err := p.call(ctx, "PATCH", "http://"+p.admin+"/services/s1", map[string]any{"host": host}, 200)
		if err != nil {
			return err
		}
		revision, err := strconv.ParseUint(header.Get("X-Sluice-Revision"), 10, 64)
		if err != nil {
			return err
		}
		if _, err := p.follows(ctx, revision); err != nil {
			return err
		}
		time.Sleep(time.Second) // the disk, and who says so
		before, err := p.integrity(ctx)
		if err != nil {
			return err
		}
		bytes, began := p.relay.Bytes(), time.Now()
		if copies, err = overwrite(p.data.PID(), host, strings.Replace(host, "flip", "flap", 1)); err != nil {
			return err
		}
		if copies == 0 {
			return errors.New("the data plane does not have the entity in its memory")
		}
		if err := poll(ctx, time.Minute, func() error {
			now, err := p.integrity(ctx)
			if err == nil && now.Repaired <= before.Repaired {
				err = fmt.Errorf("%d found and %d repaired, as before", now.Found, now.Repaired)
			}
			return err
		}, p.control, p.data); err != nil {
			return err
		}
		took, read = append(took, time.Since(began).Seconds()), append(read, float64(p.relay.Bytes()-bytes)/1e3)
	}
	method := fmt.Sprintf("a byte of a service's host is written to the process's memory; median of %d, from there to repaired", rounds)
	b.table.add("one flipped entity, found and repaired", at, goal{10, 5}, median(took), "s", fmt.Sprintf("%d copies were changed", copies), method)
	b.table.add("the same, on the wire", at, goal{64, 16}, median(read), "KB", "", "TCP payload both ways between both planes meanwhile, heartbeats included")
	return nil
}

// faults are what a node has found out about its memory.
type faults struct {
	Found    uint64 `json:"found"`
	Repaired uint64 `json:"repaired"`
}

func (p *planes) integrity(ctx context.Context) (faults, error) {
	data, _, err := p.call(ctx, "GET", "http://"+p.status+"/status", nil, 200)
	if err != nil {
		return faults{}, err
	}
	var s struct {
		Configuration struct {
			Integrity faults `json:"integrity"`
		} `json:"configuration"`
	}
	err = json.Unmarshal(data, &s)
	return s.Configuration.Integrity, err
}

// overwrite writes a text of the same length over every copy of another in a process's
// private memory, and returns how many there were.
func overwrite(pid int, text, with string) (copies int, err error) {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, maps.Close()) }()
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, memory.Close()) }()
	buffer := make([]byte, 1<<20)
	overlap := len(text) - 1
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 5 || !strings.HasPrefix(fields[1], "rw-p") {
			continue // it is a file's, or nobody writes to it
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err := strconv.ParseInt(from, 16, 64)
		if err != nil {
			return copies, err
		}
		end, err := strconv.ParseInt(to, 16, 64)
		if err != nil {
			return copies, err
		}
		for ; start+int64(overlap) < end; start += int64(len(buffer) - overlap) {
			n, _ := memory.ReadAt(buffer[:min(int64(len(buffer)), end-start)], start)
			for i := 0; ; {
				found := bytes.Index(buffer[i:n], []byte(text))
				if found < 0 {
					break
				}
				if _, err := memory.WriteAt([]byte(with), start+int64(i+found)); err != nil {
					return copies, err
				}
				copies++
				i += found + len(text)
			}
		}
	}
	return copies, nil
}
