package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/periscope-k8s/periscope/internal/manifest"
)

const signature = "?sv=2026&sig=TOPSECRET%3D"

// A fileServer serves one file in parts and counts requests.
type fileServer struct {
	mu       sync.Mutex
	data     []byte
	etag     string
	requests []string // the ranges asked for
	referers []string
}

func (s *fileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Header.Get("Range"))
	s.referers = append(s.referers, r.Header.Get("Referer"))
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	http.ServeContent(w, r, "node-1.zip", testTime, bytes.NewReader(s.data))
}

func (s *fileServer) replace(data []byte, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.etag = data, etag
}

func (s *fileServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL + "/runs/node-1.zip" + signature
}

// random text does not compress, so offsets are as far apart as the sizes say.
func random(n int, seed uint64) string {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(data)
	return string(data)
}

func checkScrubbed(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, "TOPSECRET") || strings.Contains(text, "hunter2") {
			t.Errorf("the error shows a secret: %s", text)
		}
		var u *url.Error
		if errors.As(e, &u) {
			t.Errorf("the error holds a URL: %v", u)
		}
	}
}

func TestRemoteTakesFewRequests(t *testing.T) {
	small, large := random(40_000, 1), random(3<<20, 2)
	a := (&archive{}).add(t, "logs/first", random(1<<20, 3)).add(t, "os/small", small).add(t, "logs/large", large).add(t, manifest.Name, smallManifest)
	srv := &fileServer{data: a.close(t), etag: `"one"`}
	b, err := openPath(t, serve(t, srv))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(b, "os/small"); got != small || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := srv.count(); n > 3 {
		t.Errorf("one small file took %d requests, want at most 3: %q", n, srv.requests)
	}
	before := srv.count()
	if _, err := b.Manifest(); err != nil {
		t.Error(err)
	}
	if n := srv.count() - before; n > 0 {
		t.Errorf("the manifest, in the last block, took %d requests: %q", n, srv.requests)
	}
	before = srv.count()
	if got, err := readAll(b, "logs/large"); got != large || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := srv.count() - before; n > 5 {
		t.Errorf("3 MiB took %d requests, want at most 5: %q", n, srv.requests)
	}
}

func TestRemoteSmallBundleTakesOneRequest(t *testing.T) {
	srv := &fileServer{data: (&archive{}).add(t, "a", "text").close(t), etag: `"one"`}
	b, err := openPath(t, serve(t, srv))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(b, "a"); got != "text" || err != nil || srv.count() != 1 {
		t.Errorf("a = %q, %v in %d requests", got, err, srv.count())
	}
}

func TestRemoteCacheIsBounded(t *testing.T) {
	data := []byte(random(10<<20, 4))
	srv := &fileServer{data: data, etag: `"one"`}
	r, err := newRemote(t.Context(), newClient(), serve(t, srv))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		off := random.Int64N(int64(len(data)))
		p := make([]byte, random.Int64N(int64(3*blockSize)))
		n, err := r.ReadAt(p, off)
		want := min(len(p), len(data)-int(off))
		if n != want || (n < len(p)) != errors.Is(err, io.EOF) || !bytes.Equal(p[:n], data[off:int(off)+n]) {
			t.Fatalf("ReadAt(%d bytes, %d) = %d, %v", len(p), off, n, err)
		}
		if len(r.blocks) > maxBlocks || len(r.used) != len(r.blocks) {
			t.Fatalf("%d blocks, %d used", len(r.blocks), len(r.used))
		}
	}
}

func TestRemoteCut(t *testing.T) {
	a := (&archive{}).add(t, "a", random(600_000, 1)).add(t, "b", random(600_000, 2))
	srv := &fileServer{data: a.buf.Bytes()[:1_000_000], etag: `"one"`}
	b, err := openPath(t, serve(t, srv))
	if !errors.Is(err, ErrTruncated) {
		t.Fatalf("OpenPath: %v, want ErrTruncated", err)
	}
	checkScrubbed(t, err)
	if got, err := readAll(b, "a"); len(got) != 600_000 || err != nil {
		t.Errorf("a: %d bytes, %v", len(got), err)
	}
	if got, err := readAll(b, "b"); len(got) < 300_000 || !errors.Is(err, ErrTruncated) {
		t.Errorf("b: %d bytes, %v", len(got), err)
	}
}

func TestRemoteReplaced(t *testing.T) {
	one := (&archive{}).add(t, "a", random(600_000, 1)).add(t, "b", random(600_000, 2)).close(t)
	other := (&archive{}).add(t, "a", random(600_000, 3)).add(t, "b", random(600_000, 4)).close(t)
	tests := []struct {
		name          string
		before, after string // ETag
		data          []byte
	}{
		{"other ETag", `"one"`, `"two"`, other},
		{"other weak ETag", `W/"one"`, `W/"two"`, other},
		{"no ETag any more", `"one"`, "", other},
		{"other size", "", "", other[:len(other)-1]},
		{"gone but for a stub", `"one"`, `"two"`, []byte("stub")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := &fileServer{data: one, etag: tt.before}
			b, err := openPath(t, serve(t, srv))
			if err != nil {
				t.Fatal(err)
			}
			srv.replace(tt.data, tt.after)
			_, err = readAll(b, "a")
			if err == nil || !strings.Contains(err.Error(), "was replaced while it was read") {
				t.Errorf("read: %v, want that it was replaced", err)
			}
			checkScrubbed(t, err)
		})
	}
}

func TestRemoteErrors(t *testing.T) {
	whole := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "everything at once") }
	headers := func(code int, pairs ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				w.Header().Set(pairs[i], pairs[i+1])
			}
			w.WriteHeader(code)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"no ranges", whole, "does not send parts of files: download the bundle"},
		{"not found", http.NotFound, "404 Not Found"},
		{"forbidden", headers(403), "403 Forbidden"},
		{"unknown code", headers(499), "499"},
		{"empty file", headers(416, "Content-Range", "bytes */0"), "not a bundle: it is empty"},
		{"no Content-Range", headers(206), "does not say which part"},
		{"size not known", headers(206, "Content-Range", "bytes 0-99/*"), "does not say which part"},
		{"wrong numbers", headers(206, "Content-Range", "bytes 9-0/5"), "does not say which part"},
		{"other part", headers(206, "Content-Range", "bytes 10-19/100"), "another part"},
		{"compressed", headers(206, "Content-Range", "bytes 0-99/100", "Content-Encoding", "gzip"), "another part"},
		{"no archive", (&fileServer{data: []byte("text")}).ServeHTTP, "not a bundle: it is no zip archive"},
		{"redirect without end", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, "redirects"},
		{"redirect to a file", headers(302, "Location", "file:///etc/passwd"), "redirects"},
		{"redirect without place", headers(302, "Location", "http://[::1"+signature), "parse Location"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := newRemoteBundle(t, "http://user:hunter2@example.test/runs/node-1.zip"+signature, tt.handler)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("OpenPath: %v, want %q", err, tt.want)
				}
				if err != nil && !strings.Contains(err.Error(), "http://example.test/runs/node-1.zip") {
					t.Errorf("the error does not name the file: %v", err)
				}
				checkScrubbed(t, err)
			})
		})
	}
}

// A handlerTransport answers without a network, so that time can stand still.
type handlerTransport struct{ handler http.HandlerFunc }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	h.handler(rec, r)
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

func newRemoteBundle(t *testing.T, url string, handler http.HandlerFunc) (*Bundle, error) {
	t.Helper()
	r, err := newRemote(t.Context(), &http.Client{CheckRedirect: checkRedirect, Transport: handlerTransport{handler}}, url)
	if err != nil {
		return nil, err
	}
	b, _, err := openReader(r.shown, r, r.size)
	return b, err
}

func TestRemoteTriesAgain(t *testing.T) {
	data := (&archive{}).add(t, "a", "text").close(t)
	fail := func(code int, retryAfter string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", retryAfter)
			w.WriteHeader(code)
		}
	}
	short := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(data[:10])
	}
	tests := []struct {
		name     string
		failures []http.HandlerFunc
		want     string // "": succeeds
		waits    time.Duration
	}{
		{"once", []http.HandlerFunc{fail(503, "")}, "", 500 * time.Millisecond},
		{"twice", []http.HandlerFunc{fail(500, ""), fail(502, "")}, "", 2500 * time.Millisecond},
		{"three times", []http.HandlerFunc{fail(503, ""), fail(503, ""), fail(503, "")}, "503 Service Unavailable", 2500 * time.Millisecond},
		{"too many requests", []http.HandlerFunc{fail(429, "7")}, "", 7 * time.Second},
		{"asked to wait for ever", []http.HandlerFunc{fail(429, "86400")}, "", maxWait},
		{"broken connection", []http.HandlerFunc{short}, "", 500 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n int
				start := time.Now()
				_, err := newRemoteBundle(t, "https://example.test/n.zip"+signature, func(w http.ResponseWriter, r *http.Request) {
					if n++; n <= len(tt.failures) {
						tt.failures[n-1](w, r)
						return
					}
					(&fileServer{data: data, etag: `"one"`}).ServeHTTP(w, r)
				})
				if (tt.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				if got := time.Since(start); got != tt.waits {
					t.Errorf("waited %v, want %v", got, tt.waits)
				}
				checkScrubbed(t, err)
			})
		})
	}
}

func TestRemoteServerIsDown(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	synctest.Test(t, func(t *testing.T) {
		refuse := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("dial %s: connection refused", srv.URL+signature)
		})}
		_, err := newRemote(t.Context(), refuse, srv.URL+"/n.zip"+signature)
		if err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("newRemote: %v", err)
		}
		checkScrubbed(t, err)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRemoteHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		if _, err := newRemote(t.Context(), hang, "https://example.test/n.zip"); err == nil || !strings.Contains(err.Error(), "no answer within 1m0s") {
			t.Errorf("newRemote: %v, want that no answer came", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := newRemote(ctx, hang, "https://example.test/n.zip"+signature); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("newRemote: %v, want the end of the context", err)
		}
	})
}

func TestRemoteRedirect(t *testing.T) {
	files := &fileServer{data: (&archive{}).add(t, "a", "text").close(t), etag: `"one"`}
	plain := serve(t, files)
	to := func(target string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, target, http.StatusTemporaryRedirect)
		}
	}
	if b, err := openPath(t, serve(t, to(plain))); err != nil {
		t.Errorf("from http to http: %v", err)
	} else if got, err := readAll(b, "a"); got != "text" || err != nil {
		t.Errorf("a = %q, %v", got, err)
	}
	for _, r := range files.referers {
		if r != "" {
			t.Errorf("the other server was told the URL: %q", r)
		}
	}

	var asked atomic.Int32
	target := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	secure := httptest.NewTLSServer(to(target))
	defer secure.Close()
	client := secure.Client()
	client.CheckRedirect = checkRedirect
	_, err := newRemote(t.Context(), client, secure.URL+"/n.zip"+signature)
	if err == nil || !strings.Contains(err.Error(), "from https to http") || asked.Load() > 0 {
		t.Errorf("from https to http: %v, %d requests", err, asked.Load())
	}
	checkScrubbed(t, err)
}

func TestRemoteBadURL(t *testing.T) {
	for _, arg := range []string{"http://", "https:///n.zip" + signature, "http://[::1" + signature, "http://exa mple/%zz" + signature, "HTTP://user:hunter2@:x/" + signature} {
		_, err := openPath(t, arg)
		if err == nil || !strings.Contains(err.Error(), "not a valid URL") {
			t.Errorf("OpenPath(%q): %v", arg, err)
		}
		checkScrubbed(t, err)
	}
}

func TestRemoteClosed(t *testing.T) {
	srv := &fileServer{data: (&archive{}).add(t, "a", random(600_000, 1)).add(t, "b", random(600_000, 2)).close(t), etag: `"one"`}
	b, closer, err := OpenPath(t.Context(), serve(t, srv))
	if err != nil {
		t.Fatal(err)
	}
	closer.Close()
	if _, err := readAll(b, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("read after Close: %v, want Canceled", err)
	}
}
