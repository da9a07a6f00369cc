package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	blockSize = 256 << 10 // bytes of a remote archive that are asked for at least, and cached as one
	maxBlocks = 16        // in the cache
	maxRun    = 4         // blocks of one request
	maxRedirs = 5
)

// A remote reads an archive by HTTP range requests through a small cache. Its errors show
// neither user nor query of a URL, where a signature may be.
type remote struct {
	ctx    context.Context
	cancel context.CancelFunc
	client *http.Client
	url    string
	shown  string // url as people may see it
	size   int64  // -1: not known yet
	etag   string
	date   string // Last-Modified

	mu     sync.Mutex
	blocks map[int64][]byte
	used   []int64 // numbers of the blocks, the longest unused first
	next   int64   // block behind the last request's
	run    int     // blocks of the last request, when requests follow each other
}

func openURL(ctx context.Context, arg string) (*Bundle, io.Closer, error) {
	r, err := newRemote(ctx, newClient(), arg)
	if err != nil {
		return nil, nil, err
	}
	return openReader(r.shown, r, r.size)
}

func newClient() *http.Client {
	return &http.Client{CheckRedirect: checkRedirect, Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true,
		ForceAttemptHTTP2:     true,
	}}
}

var errRedirect = errors.New("the server redirects from https to http, or more than 5 times")

func checkRedirect(req *http.Request, via []*http.Request) error {
	secure := via[len(via)-1].URL.Scheme == "https"
	if len(via) > maxRedirs || (req.URL.Scheme != "https" && (secure || req.URL.Scheme != "http")) {
		return errRedirect
	}
	req.Header.Del("Referer") // it holds the query
	return nil
}

// newRemote asks for the first block, which also tells the size: not all servers answer
// HEAD for signed URLs, or send the last bytes without knowing how many there are.
func newRemote(ctx context.Context, client *http.Client, arg string) (*remote, error) {
	u, err := url.Parse(arg)
	if err != nil || u.Host == "" {
		return nil, errors.New("open bundle: not a valid URL")
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	ctx, cancel := context.WithCancel(ctx)
	r := &remote{ctx: ctx, client: client, url: arg, shown: shown.String(), size: -1, blocks: map[int64][]byte{}}
	r.cancel = cancel
	if err := r.fetch(0, 1); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("open %s: %w", r.shown, err)
	}
	return r, nil
}

// Close ends what is being read.
func (r *remote) Close() error {
	r.cancel()
	r.client.CloseIdleConnections()
	return nil
}

// ReadAt implements io.ReaderAt.
func (r *remote) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var n int
	for n < len(p) {
		at := off + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		block, err := r.block(at/blockSize, int64(len(p)-n)+at%blockSize)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], block[at%blockSize:])
	}
	return n, nil
}

// prefetch fetches what is missing of a range with one request, when it is not too long.
func (r *remote) prefetch(off, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = min(n, r.size-off)
	if off < 0 || n <= 0 {
		return nil // it is for ReadAt to complain
	}
	_, err := r.block(off/blockSize, n+off%blockSize)
	return err
}

// block returns the block of that number; the caller goes on for want bytes from its start.
func (r *remote) block(number, want int64) ([]byte, error) {
	b, ok := r.blocks[number]
	if !ok {
		if err := r.fetch(number, r.choose(number, want)); err != nil {
			return nil, fmt.Errorf("read %s: %w", r.shown, err)
		}
		b = r.blocks[number]
	}
	r.used = append(slices.DeleteFunc(r.used, func(n int64) bool { return n == number }), number)
	return b, nil
}

// choose returns how many blocks to ask for: what is wanted, and more and more of a file
// that is read on and on.
func (r *remote) choose(number, want int64) int64 {
	if number == r.next {
		r.run = min(2*r.run, maxRun)
	} else {
		r.run = 1
	}
	n := min(max(int64(r.run), (want+blockSize-1)/blockSize), maxRun)
	for i := range n {
		if _, have := r.blocks[number+i]; have || (number+i)*blockSize >= r.size {
			return i
		}
	}
	return n
}
