package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	blockSize  = 256 << 10 // bytes of a remote archive that are asked for at least, and cached as one
	maxBlocks  = 16        // in the cache
	maxRun     = 4         // blocks of one request
	maxTries   = 3
	maxRedirs  = 5
	tryTimeout = time.Minute
	maxWait    = 30 * time.Second // before another try, whatever the server asks for
)

var (
	errReplaced = errors.New("the bundle was replaced while it was read: start again")
	errNoRanges = errors.New("the server does not send parts of files: download the bundle, and open the file")
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

// fetch puts n blocks into the cache.
func (r *remote) fetch(number, n int64) error {
	for try := 1; ; try++ {
		err := r.request(number, n)
		var again *temporary
		if !errors.As(err, &again) || try == maxTries {
			return err
		}
		select {
		case <-time.After(min(max(again.after, time.Duration(try*try)*500*time.Millisecond), maxWait)):
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}

// A temporary error may not come again.
type temporary struct {
	text  string
	after time.Duration // least time to wait
}

func (e *temporary) Error() string { return e.text }

func (r *remote) request(number, n int64) error {
	ctx, cancel := context.WithTimeout(r.ctx, tryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, http.NoBody)
	if err != nil {
		return errors.New("not a valid URL")
	}
	first := number * blockSize
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, first+n*blockSize-1))
	req.Header.Set("Accept-Encoding", "identity")
	if strings.HasPrefix(r.etag, `"`) {
		req.Header.Set("If-Range", r.etag)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return r.transportError(err)
	}
	defer resp.Body.Close()
	if err := r.check(resp, first, n*blockSize); err != nil {
		return err
	}
	blocks := make([][]byte, n)
	for i := range blocks {
		left := r.size - (first + int64(i)*blockSize)
		blocks[i] = make([]byte, min(blockSize, left))
		if _, err := io.ReadFull(resp.Body, blocks[i]); err != nil {
			return r.transportError(err)
		}
	}
	for i, b := range blocks {
		r.keep(number+int64(i), b)
	}
	r.next = number + n
	return nil
}

// keep puts a block into the cache in place of the one that was not used for longest.
func (r *remote) keep(number int64, b []byte) {
	if len(r.used) == maxBlocks {
		delete(r.blocks, r.used[0])
		r.used = r.used[1:]
	}
	r.blocks[number] = b
	r.used = append(r.used, number)
}

// check makes sure that the answer is the range asked for, of the archive that earlier
// answers came from.
func (r *remote) check(resp *http.Response, first, n int64) error {
	switch code := resp.StatusCode; {
	case code == http.StatusPartialContent:
	case code == http.StatusOK && r.size >= 0 && !r.same(resp):
		return errReplaced
	case code == http.StatusOK:
		return errNoRanges
	case code == http.StatusRequestedRangeNotSatisfiable && r.size < 0:
		return errors.New("not a bundle: it is empty")
	case code == http.StatusRequestedRangeNotSatisfiable, code == http.StatusPreconditionFailed:
		return errReplaced
	case code == http.StatusTooManyRequests || code >= 500:
		return &temporary{"the server answers " + status(code), retryAfter(resp)}
	default:
		return errors.New("the server answers " + status(code))
	}
	start, end, size, err := contentRange(resp.Header.Get("Content-Range"))
	if err != nil {
		return err
	}
	if r.size < 0 {
		r.size, r.etag, r.date = size, resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	}
	if size != r.size || !r.same(resp) {
		return errReplaced
	}
	if start != first || end != min(first+n, size)-1 || resp.Header.Get("Content-Encoding") != "" {
		return errors.New("the server sent another part than it was asked for")
	}
	return nil
}

// same reports whether the answer is of the archive that the first one was of.
func (r *remote) same(resp *http.Response) bool {
	return resp.Header.Get("ETag") == r.etag && (r.etag != "" || resp.Header.Get("Last-Modified") == r.date)
}

func status(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// retryAfter reads seconds or a date.
func retryAfter(resp *http.Response) time.Duration {
	text := resp.Header.Get("Retry-After")
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return time.Until(t)
	}
	return 0
}

// contentRange reads "bytes START-END/SIZE".
func contentRange(text string) (start, end, size int64, err error) {
	text, ok := strings.CutPrefix(text, "bytes ")
	span, total, ok2 := strings.Cut(text, "/")
	from, to, ok3 := strings.Cut(span, "-")
	var errs [3]error
	start, errs[0] = strconv.ParseInt(from, 10, 64)
	end, errs[1] = strconv.ParseInt(to, 10, 64)
	size, errs[2] = strconv.ParseInt(total, 10, 64)
	if !ok || !ok2 || !ok3 || errors.Join(errs[:]...) != nil || start < 0 || end < start || size <= end {
		return 0, 0, 0, errors.New("the server does not say which part of the file it sent")
	}
	return start, end, size, nil
}

var query = regexp.MustCompile(`\?[^\s"']*`)

// transportError makes an error without URL of one that may hold it.
func (r *remote) transportError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case r.ctx.Err() != nil:
		return r.ctx.Err()
	case errors.Is(err, errRedirect):
		return errRedirect
	case errors.Is(err, context.DeadlineExceeded):
		return &temporary{text: fmt.Sprintf("no answer within %v", tryTimeout)}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &temporary{text: "the connection broke"}
	}
	return &temporary{text: query.ReplaceAllString(err.Error(), "")}
}
