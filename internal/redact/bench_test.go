package redact

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"testing"
)

// lineMakers write lines as the programs on a node do, with the words that look like secrets about as often as they have them.
var lineMakers = []func(w io.Writer, r *rand.Rand){
	func(w io.Writer, r *rand.Rand) { // kubelet
		fmt.Fprintf(w, "I0921 12:%02d:%02d.%06d    1234 kubelet_volumes.go:%d] \"Cleaned up orphaned pod volumes dir\" podUID=\"%08x-1234-4abc-9def-%012x\" path=\"/var/lib/kubelet/pods/%08x/volumes\"\n",
			r.IntN(60), r.IntN(60), r.IntN(1e6), r.IntN(900), r.Uint32(), r.Uint64()>>16, r.Uint32())
	},
	func(w io.Writer, r *rand.Rand) {
		fmt.Fprintf(w, "I0921 12:%02d:%02d.%06d    1234 reconciler_common.go:%d] \"operationExecutor.VerifyControllerAttachedVolume started for volume \\\"kube-api-access-%05x\\\" (UniqueName: \\\"kubernetes.io/projected/%08x-kube-api-access\\\") pod \\\"coredns-%08x-%05x\\\"\" pod=\"kube-system/coredns-%08x\"\n",
			r.IntN(60), r.IntN(60), r.IntN(1e6), r.IntN(900), r.IntN(1<<20), r.Uint32(), r.Uint32(), r.IntN(1<<20), r.Uint32())
	},
	func(w io.Writer, r *rand.Rand) {
		fmt.Fprintf(w, "E0921 12:%02d:%02d.%06d    1234 reflector.go:147] object-\"kube-system\"/\"coredns\": Failed to watch *v1.ConfigMap: failed to list *v1.ConfigMap: Get \"https://aks-dns-ed55ba6d.hcp.centralus.azmk8s.io:443/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%%3Dcoredns&limit=500&resourceVersion=%d\": dial tcp 20.%d.%d.%d:443: i/o timeout\n",
			r.IntN(60), r.IntN(60), r.IntN(1e6), r.Uint32(), r.IntN(255), r.IntN(255), r.IntN(255))
	},
	func(w io.Writer, r *rand.Rand) { // containerd
		fmt.Fprintf(w, "time=\"2026-09-21T12:%02d:%02d.%09dZ\" level=info msg=\"StopPodSandbox for \\\"%016x%016x%016x%016x\\\" returns successfully\"\n",
			r.IntN(60), r.IntN(60), r.IntN(1e9), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
	},
	func(w io.Writer, r *rand.Rand) {
		fmt.Fprintf(w, "time=\"2026-09-21T12:%02d:%02d.%09dZ\" level=info msg=\"PullImage \\\"mcr.microsoft.com/oss/kubernetes/pause:3.%d\\\" returns image reference \\\"sha256:%016x%016x%016x%016x\\\"\"\n",
			r.IntN(60), r.IntN(60), r.IntN(1e9), r.IntN(10), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
	},
	func(w io.Writer, r *rand.Rand) { // an application, as the runtime stores it
		fmt.Fprintf(w, "2026-09-21T12:%02d:%02d.%09dZ stdout F {\"level\":\"info\",\"ts\":%d.%d,\"caller\":\"server/http.go:%d\",\"msg\":\"request completed\",\"method\":\"GET\",\"path\":\"/api/v1/items/%d\",\"status\":200,\"duration_ms\":%d,\"remote\":\"10.244.%d.%d\",\"trace_id\":\"%016x\"}\n",
			r.IntN(60), r.IntN(60), r.IntN(1e9), r.Uint32(), r.IntN(1000), r.IntN(900), r.IntN(10000), r.IntN(400), r.IntN(255), r.IntN(255), r.Uint64())
	},
	func(w io.Writer, r *rand.Rand) {
		fmt.Fprintf(w, "2026-09-21T12:%02d:%02d.%09dZ stderr F 10.244.%d.%d - - [21/Sep/2026:12:00:%02d +0000] \"POST /orders/%d HTTP/1.1\" 201 %d \"https://shop.example.net/cart\" \"Mozilla/5.0 (X11; Linux x86_64)\" rt=0.%03d\n",
			r.IntN(60), r.IntN(60), r.IntN(1e9), r.IntN(255), r.IntN(255), r.IntN(60), r.IntN(10000), r.IntN(9000), r.IntN(1000))
	},
	func(w io.Writer, r *rand.Rand) { // syslog
		fmt.Fprintf(w, "Sep 21 12:%02d:%02d aks-nodepool1-12345678-vmss000000 systemd[1]: Started Session %d of user azureuser; connection from 10.1.%d.%d accepted.\n",
			r.IntN(60), r.IntN(60), r.IntN(10000), r.IntN(255), r.IntN(255))
	},
	func(w io.Writer, r *rand.Rand) {
		fmt.Fprintf(w, "Sep 21 12:%02d:%02d aks-nodepool1-12345678-vmss000000 kernel: [%6d.%06d] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=cri-containerd-%016x.scope,mems_allowed=0,task=java,pid=%d,uid=1000\n",
			r.IntN(60), r.IntN(60), r.IntN(1e6), r.IntN(1e6), r.Uint64(), r.IntN(1e5))
	},
}

// wordy lines have the words that announce secrets, and none.
var wordyMakers = []func(w io.Writer, r *rand.Rand){
	func(w io.Writer, r *rand.Rand) {
		fmt.Fprintf(w, "E0921 12:%02d:%02d.%06d    1234 nestedpendingoperations.go:%d] MountVolume.SetUp failed for volume \"default-token-%05x\" : failed to sync secret cache: timed out waiting for the condition\n",
			r.IntN(60), r.IntN(60), r.IntN(1e6), r.IntN(900), r.IntN(1<<20))
	},
	func(w io.Writer, r *rand.Rand) {
		fmt.Fprintf(w, "E0921 12:%02d:%02d.%06d    1234 authentication.go:%d] \"Unable to authenticate the request\" err=\"[invalid bearer token, service account token has expired]\"\n",
			r.IntN(60), r.IntN(60), r.IntN(1e6), r.IntN(900))
	},
}

// logText makes about size bytes of log; every nth line has a secret, none when nth is 0.
func logText(size, nth int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for n := 1; b.Len() < size; n++ {
		switch {
		case nth > 0 && n%nth == 0:
			fmt.Fprintf(&b, "2026-09-21T12:00:00.%09dZ stdout F {\"level\":\"info\",\"msg\":\"connect\",\"dsn\":\"postgres://app:fake%08x@db:5432/app\",\"password\":\"fake%016x\",\"n\":1}\n", r.IntN(1e9), r.Uint32(), r.Uint64())
		case n%50 == 7:
			wordyMakers[r.IntN(len(wordyMakers))](&b, r)
		default:
			lineMakers[r.IntN(len(lineMakers))](&b, r)
		}
	}
	return b.Bytes()
}

func BenchmarkWriter(b *testing.B) {
	for _, c := range []struct {
		name  string
		nth   int
		rules []Rule
	}{
		{"plain", 0, nil},
		{"secret in every 20th line", 20, nil},
		{"secret in every line", 1, nil},
		{"user rule with literal", 0, []Rule{{Name: "mine", Regexp: regexp.MustCompile(`mine-(\w+)`), Literal: "mine-"}}},
		{"user rule without literal", 0, []Rule{{Name: "mine", Regexp: regexp.MustCompile(`mine-(\w+)`)}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			text := logText(16<<20, c.nth)
			r := newTestRedactor(b, c.rules...)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				w := r.NewWriter(io.Discard)
				for p := text; len(p) > 0; {
					n := min(len(p), 32<<10)
					if _, err := w.Write(p[:n]); err != nil {
						b.Fatal(err)
					}
					p = p[n:]
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		newTestRedactor(b)
	}
}

func BenchmarkString(b *testing.B) {
	r := newTestRedactor(b)
	b.ReportAllocs()
	for b.Loop() {
		r.String("exit status 1: open /var/log/x: permission denied")
	}
}

// The text of the benchmark has no secret, so that it measures what it says.
func TestPlainTextIsPlain(t *testing.T) {
	text := logText(1<<20, 0)
	if got := redactAll(t, newTestRedactor(t), text); !bytes.Equal(got, text) {
		t.Error(firstDifference(got, text))
	}
}
