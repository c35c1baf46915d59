package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/stepscope/stepscope/interval"
)

// handler answers what guard let through: the files of the front end and the API.
type handler struct {
	m     *Model
	files map[string]file
	api   map[string]func(q url.Values) (any, int, error)
	slots chan struct{}
	model file

	opened func()
	once   sync.Once
}

// file is a prepared answer.
type file struct {
	kind         string
	body, packed []byte
}

// fileTypes are the files that a front end may have.
var fileTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

func newHandler(m *Model, opt Options, listenHost string) (http.Handler, error) {
	h := &handler{m: m, files: map[string]file{}, slots: make(chan struct{}, maxParallel), opened: opt.Opened}
	err := fs.WalkDir(assets, "ui/dist", func(name string, d fs.DirEntry, err error) error {
		kind, known := fileTypes[path.Ext(name)]
		if err != nil || d.IsDir() || !known {
			return err
		}
		body, err := assets.ReadFile(name)
		if err != nil {
			return err
		}
		h.files["/"+strings.TrimPrefix(name, "ui/dist/")] = newFile(kind, body)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the front end: %w", err)
	}
	h.files["/"] = h.files["/index.html"]
	body, err := json.Marshal(m.json())
	if err != nil {
		return nil, fmt.Errorf("encoding the model: %w", err)
	}
	h.model = newFile("application/json", body)
	h.api = map[string]func(url.Values) (any, int, error){
		"event": h.event, "selection": h.selection, "search": h.search, "find": h.find, "jump": h.jump, "near": h.near,
	}
	g := &guard{token: opt.Token, remote: opt.Remote, next: h}
	for _, name := range append([]string{listenHost}, opt.Hosts...) {
		if name != "" {
			g.hosts = append(g.hosts, strings.ToLower(strings.Trim(name, "[]")))
		}
	}
	return g, nil
}

func newFile(kind string, body []byte) file {
	f := file{kind: kind, body: body}
	if len(body) > 1024 {
		f.packed = gzipped(body)
	}
	return f
}

// gzipped compresses what is sent often or is large: a tunnel may be slow.
func gzipped(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(body)
	if err != nil || z.Close() != nil {
		return nil
	}
	return b.Bytes()
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f, ok := h.files[r.URL.Path]; ok {
		send(w, r, f)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/api/")
	if !ok {
		http.Error(w, "no such page", http.StatusNotFound)
		return
	}
	if name == "model" {
		send(w, r, h.model)
		if h.opened != nil {
			h.once.Do(h.opened)
		}
		return
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, "the query cannot be read", http.StatusBadRequest)
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-r.Context().Done():
		return
	}
	if name == "tiles" {
		h.tiles(w, r, q)
		return
	}
	call, ok := h.api[name]
	if !ok {
		http.Error(w, "no such answer", http.StatusNotFound)
		return
	}
	v, status, err := call(q)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
		return
	}
	send(w, r, newFile("application/json", body))
}

// send writes a prepared answer, compressed where the client takes it.
func send(w http.ResponseWriter, r *http.Request, f file) {
	body := f.body
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Vary", "Accept-Encoding")
	if f.packed != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = f.packed
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		// A client that went away needs no answer.
		_, _ = w.Write(body)
	}
}

func (h *handler) tiles(w http.ResponseWriter, r *http.Request, q url.Values) {
	req, err := h.m.parseTileRequest(q.Get("level"), q.Get("index"), q.Get("lanes"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	send(w, r, file{kind: "application/octet-stream", body: h.m.tiles(req)})
}

// number reads an integer parameter between lo and hi.
func number(q url.Values, name string, lo, hi int64) (int64, error) {
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil || n < lo || n > hi {
		return 0, fmt.Errorf("%s: give a whole number from %d to %d", name, lo, hi)
	}
	return n, nil
}

// numbers reads several parameters of one range.
func numbers(q url.Values, lo, hi int64, names ...string) ([]int64, error) {
	out := make([]int64, len(names))
	var err error
	for i, n := range names {
		if out[i], err = number(q, n, lo, hi); err != nil {
			return nil, err
		}
	}
	return out, nil
}

const maxInt32 = 1<<31 - 1

func (h *handler) event(q url.Values) (any, int, error) {
	n, err := numbers(q, 0, maxInt32, "lane", "row", "at")
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	d, ok := h.m.detail(int(n[0]), int(n[1]), int(n[2]))
	if !ok {
		return nil, http.StatusNotFound, errors.New("no event there")
	}
	return d, 0, nil
}

func (h *handler) selection(q url.Values) (any, int, error) {
	n, err := numbers(q, 0, h.m.extent(), "from", "to")
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	if n[1] < n[0] {
		return nil, http.StatusBadRequest, errors.New("the selection ends before it starts")
	}
	return h.m.selection(interval.Span{Start: h.m.origin + n[0], End: h.m.origin + n[1]}), 0, nil
}

func (h *handler) query(q url.Values) (string, error) {
	s := q.Get("q")
	if s == "" || len(s) > maxQuery {
		return "", fmt.Errorf("q: give 1 to %d bytes of a name", maxQuery)
	}
	return s, nil
}

func (h *handler) search(q url.Values) (any, int, error) {
	s, err := h.query(q)
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	return h.m.search(s), 0, nil
}

// found is an answer that may be nothing.
type found struct {
	Found bool `json:"found"`
	Ref   *Ref `json:"event,omitempty"`
}

func answer(r Ref, ok bool) (any, int, error) {
	if !ok {
		return found{}, 0, nil
	}
	return found{true, &r}, 0, nil
}

func (h *handler) place(q url.Values) (t int64, forward bool, err error) {
	if t, err = number(q, "from", 0, h.m.extent()); err != nil {
		return 0, false, err
	}
	switch q.Get("dir") {
	case "next":
		return h.m.origin + t, true, nil
	case "previous":
		return h.m.origin + t, false, nil
	}
	return 0, false, errors.New("dir: next or previous")
}

func (h *handler) find(q url.Values) (any, int, error) {
	s, err := h.query(q)
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	t, forward, err := h.place(q)
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	return answer(h.m.find(s, t, forward))
}

func (h *handler) jump(q url.Values) (any, int, error) {
	t, forward, err := h.place(q)
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	return answer(h.m.jump(t, forward))
}

func (h *handler) near(q url.Values) (any, int, error) {
	n, err := numbers(q, 0, maxInt32, "lane", "row")
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	t, err := number(q, "t", 0, h.m.extent())
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	return answer(h.m.near(int(n[0]), int(n[1]), h.m.origin+t))
}
