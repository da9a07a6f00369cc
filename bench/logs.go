package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// writePodLogs writes n bytes of container logs as kubelet and containerd would leave
// them: ten containers, files of 50 MB, the newest lines a moment old.
func writePodLogs(root string, n int64) ([]string, error) {
	const containers, fileSize = 10, 50e6
	var files []string
	for i := 0; n > 0; i++ {
		name := fmt.Sprintf("%d.log", i/containers)
		path := filepath.Join(root, "var/log/pods", fmt.Sprintf("bench_app-%d_0a1b2c3d-0000-4000-8000-%012d", i%containers, i%containers), "app", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := writeLog(path, min(n, fileSize), uint64(i)); err != nil {
			return nil, err
		}
		files = append(files, path)
		n -= fileSize
	}
	return files, nil
}

func writeLog(path string, n int64, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	g := newGenerator(seed, time.Now().Add(-20*time.Minute))
	for left := n; left > 0; {
		k, err := g.line(w, true, false)
		if err != nil {
			return err
		}
		left -= int64(k)
	}
	return w.Flush()
}

// logText is n bytes of log; every secretEvery-th line holds a secret, 0 for none.
func logText(n, secretEvery int) []byte {
	var buf limitedBuffer
	g := newGenerator(1, time.Now())
	for i := 1; len(buf) < n; i++ {
		_, _ = g.line(&buf, false, secretEvery > 0 && i%secretEvery == 0) // a limitedBuffer takes all
	}
	return buf
}

type limitedBuffer []byte

func (b *limitedBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// A generator makes lines like those of kubelet, controllers, an ingress and applications
// that log JSON. Words such as token and secret occur in it, as they do in such logs.
type generator struct {
	r  *rand.Rand
	at time.Time
}

func newGenerator(seed uint64, at time.Time) *generator {
	return &generator{rand.New(rand.NewPCG(seed, 7)), at}
}

func (g *generator) line(w io.Writer, cri, secret bool) (int, error) {
	g.at = g.at.Add(time.Duration(g.r.IntN(2_000_000)))
	text := g.text()
	if secret {
		text += g.secret()
	}
	if cri {
		return fmt.Fprintf(w, "%s stdout F %s\n", g.at.UTC().Format("2006-01-02T15:04:05.000000000Z"), text)
	}
	return fmt.Fprintf(w, "%s\n", text)
}

func (g *generator) text() string {
	id, n := g.r.Uint64(), g.r.IntN(100000)
	switch g.r.IntN(12) {
	case 0, 1, 2:
		return fmt.Sprintf(`{"level":"info","ts":"%s","logger":"controller","msg":"reconciled object","namespace":"team-%d","name":"web-%x","duration":"%d.%dms","generation":%d,"requestID":"%016x"}`, g.at.UTC().Format(time.RFC3339Nano), n%40, id>>44, n%900, n%10, n%7, id)
	case 3, 4:
		return fmt.Sprintf(`I%s %7d reconciler_common.go:%d] "operationExecutor.VerifyControllerAttachedVolume started for volume \"config-volume\" (UniqueName: \"kubernetes.io/configmap/%08x-%04x-config-volume\") pod \"coredns-%x\" (UID: \"%08x\") " pod="kube-system/coredns-%x"`, g.at.Format("0102 15:04:05.000000"), n, n%900, id>>32, id&0xffff, id>>40, id>>32, id>>40)
	case 5, 6, 7:
		return fmt.Sprintf(`10.%d.%d.%d - - [%s] "GET /api/v1/items/%d?page=%d HTTP/1.1" 200 %d "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36" %d 0.%03d [default-web-80] 10.244.%d.%d:8080 %d 0.%03d 200 %032x`, n%250, n%251, n%252, g.at.Format("02/Jan/2006:15:04:05 -0700"), n, n%30, n*3, n%2000, n%1000, n%9, n%250, n, n%999, id)
	case 8:
		return fmt.Sprintf(`E%s %7d secret.go:%d] "Couldn't get secret" err="failed to sync secret cache: timed out waiting for the condition" secret="kube-system/token-controller-%x"`, g.at.Format("0102 15:04:05.000000"), n, n%900, id>>48)
	case 9:
		return fmt.Sprintf(`time="%s" level=info msg="StopContainer for \"%016x%016x%016x%016x\" returns successfully"`, g.at.UTC().Format(time.RFC3339Nano), id, id*3, id*5, id*7)
	case 10:
		return fmt.Sprintf("\tat com.example.service.internal.Handler%d.process(Handler.java:%d) ~[app.jar:1.%d.0]", n%50, n%900, n%40)
	}
	return fmt.Sprintf("%s DEBUG [worker-%d] com.example.Cache - evicted %d entries of %d in %d ms, hit ratio 0.%d, tokens left: %d", g.at.Format("15:04:05.000"), n%16, n%300, n, n%70, n%100, n%1000)
}

func (g *generator) secret() string {
	id := g.r.Uint64()
	switch g.r.IntN(4) {
	case 0:
		return fmt.Sprintf(" password=%016x", id)
	case 1:
		return fmt.Sprintf(` "client_secret":"%016x%016x"`, id, id*3)
	case 2:
		return fmt.Sprintf(" https://account.blob.core.windows.net/c/b?sv=2024-01-01&sp=rl&sig=%016x%016x%%3D", id, id*3)
	}
	return fmt.Sprintf(" Authorization: Bearer %016x.%016x", id, id*3)
}
