package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	maxTries   = 3
	tryTimeout = time.Minute
	maxWait    = 30 * time.Second // before another try, whatever the server asks for
)

var (
	errReplaced = errors.New("the bundle was replaced while it was read: start again")
	errNoRanges = errors.New("the server does not send parts of files: download the bundle, and open the file")
)

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
