package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestHistoryAndUndo: somebody breaks something, looks at what was changed, sees what a
// restore would do, does it, and every node is what it was.
func TestHistoryAndUndo(t *testing.T) {
	c := newCluster(t, 2)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	c.must("POST", "/consumers", object{"username": "luka"}, 201)
	c.must("POST", "/consumers/luka/key-auth", object{"key": "only-luka-knows"}, 201)
	good := c.must("POST", "/services/one/plugins", object{"name": "key-auth"}, 201, atOnce).header.Get("X-Sluice-Revision")
	hash := func() string {
		t.Helper()
		return fmt.Sprint(c.listed()["node1"]["config_hash"])
	}
	before := hash()
	key := headers{"apikey", "only-luka-knows"}
	for _, n := range c.nodes {
		n.must("GET", "/one", nil, 200, key)
	}
	c.must("DELETE", "/consumers/luka", nil, 204)
	c.must("PATCH", "/services/one", object{"path": "/elsewhere"}, 200)
	broken := c.must("DELETE", "/routes/one", nil, 204, atOnce).header.Get("X-Sluice-Revision")
	for _, n := range c.nodes {
		n.must("GET", "/one", nil, 404, key)
	}

	list := c.get("/history?size=5")
	rows := list.list("data")
	if len(rows) != 5 || fmt.Sprint(rows[0]["revision"]) != broken || rows[0]["restorable"] != true || rows[0]["summary"] != "delete routes" {
		t.Errorf("history: %s", list.body)
	}
	patch := c.get("/history/" + fmt.Sprint(rows[1]["revision"]))
	if entities := patch.list("entities"); len(entities) != 1 || !strings.Contains(string(patch.body), `"field":"path"`) || !strings.Contains(string(patch.body), `"/elsewhere"`) {
		t.Errorf("the patch: %s", patch.body)
	}
	preview := c.get("/history/" + good + "/preview")
	if preview.at("changes") != 4.0 || strings.Contains(string(preview.body), "only-luka-knows") {
		t.Errorf("preview: %s", preview.body)
	}
	c.must("POST", "/history/"+good+"/restore", object{"head": 1}, 409)
	r := c.must("POST", "/history/"+good+"/restore", object{"head": preview.at("head")}, 200, atOnce)
	if r.header.Get("X-Sluice-Applied") != "2/2" || r.at("changes") != 4.0 || fmt.Sprint(r.at("revision")) != r.header.Get("X-Sluice-Revision") {
		t.Errorf("restore: %v %s", r.header, r.body)
	}
	for _, n := range c.nodes {
		n.must("GET", "/one", nil, 200, key)
		n.must("GET", "/one", nil, 401)
	}
	if now := hash(); now != before {
		t.Errorf("the configuration is %s and was %s", now, before)
	}
	c.must("GET", "/history/99999", nil, 404)
}

// TestHistoryIsBounded: a revision that is not kept any more can not be restored, and the
// answer says which can.
func TestHistoryIsBounded(t *testing.T) {
	c := newCluster(t, 0, "--history_revisions", "100")
	for i := range 200 {
		c.must("PUT", "/services/one", object{"host": fmt.Sprint("host", i)}, 200)
	}
	gone := c.must("POST", "/history/3/restore", nil, 410)
	oldest, _ := gone.at("oldest").(float64)
	if oldest < 20 || oldest > 101 {
		t.Fatalf("the oldest is %v: %s", oldest, gone.body)
	}
	c.must("GET", "/history/3/preview", nil, 410)
	c.must("GET", "/history/3", nil, 410)
	c.must("POST", fmt.Sprintf("/history/%.0f/restore", oldest), nil, 200)
}
