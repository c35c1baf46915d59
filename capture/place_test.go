package capture

import "testing"

func TestHidePlaces(t *testing.T) {
	own := placesOf("gpu-node-7", []string{"10.20.30.40", "fd00::7"})
	for in, want := range map[string]string{
		"world_size=1 rank=0 distributed_init_method=tcp://203.0.113.9:33911 backend=nccl": "world_size=1 rank=0 distributed_init_method=tcp://HOST:33911 backend=nccl",
		`INFO:     203.0.113.77:53422 - "POST /v1/completions HTTP/1.1" 200 OK`:            `INFO:     HOST:53422 - "POST /v1/completions HTTP/1.1" 200 OK`,
		`INFO:     127.0.0.1:53422 - "POST /v1/completions HTTP/1.1" 200 OK`:               `INFO:     127.0.0.1:53422 - "POST /v1/completions HTTP/1.1" 200 OK`,
		"Starting vLLM server on http://0.0.0.0:8000":                                      "Starting vLLM server on http://0.0.0.0:8000",
		"see http://203.0.113.9/docs":                                                      "see http://HOST/docs",
		"ray node gpu-node-7 has ip 10.20.30.40 and fd00::7":                               "ray node HOST has ip HOST and HOST",
		"cublas 12.8.4.1, nsys 2025.3.2.0, v0.24.0, took 1.2.3.4 s":                        "cublas 12.8.4.1, nsys 2025.3.2.0, v0.24.0, took 1.2.3.4 s",
		"999.1.1.1:80": "999.1.1.1:80",
	} {
		if got := hidePlaces(in, own); got != want {
			t.Errorf("%q\n got %q\nwant %q", in, got, want)
		}
	}
	if re := placesOf("vllm", nil); re != nil {
		t.Errorf("a host called vllm would take that word out of the log: %v", re)
	}
}

// The words are those of Nsight Systems 2025.3 among vLLM's.
func TestMaskLogLeavesTheServersWords(t *testing.T) {
	const log = "(EngineCore pid=7) INFO [wrapper.py:66] Profiler stopped successfully.\n" +
		"Generating '/tmp/nsys-report-523b.qdstrm'\n" +
		"[1/1] [0%                          ] report.nsys-repProcessing events...\n" +
		"[1/1] [0%                          ] report.nsys-rep\r[1/1] [========================100%] report.nsys-rep\n" +
		"Generated:\n\t/home/somebody/capture.partial/report.nsys-rep\n" +
		"\tindented words\nGenerated: 5 tokens\n[1/2] loading shards\nlast line without an end"
	const want = "(EngineCore pid=7) INFO [wrapper.py:66] Profiler stopped successfully.\n" +
		"\tindented words\nGenerated: 5 tokens\n[1/2] loading shards\nlast line without an end"
	if got := MaskLog(log, nil); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
