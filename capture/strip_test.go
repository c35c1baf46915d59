package capture_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/stepscope/stepscope/capture"
)

const exported = `
CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT);
CREATE TABLE META_DATA_CAPTURE (name TEXT, value TEXT);
CREATE TABLE TARGET_INFO_GPU (id INTEGER, name TEXT, uuid TEXT);
INSERT INTO TARGET_INFO_GPU VALUES (0, 'NVIDIA H100', 'GPU-12345678-aaaa');
CREATE TABLE ProcessStreams (
    globalPid                   INTEGER   NOT NULL,                    -- Serialized GlobalId.
    filenameId                  INTEGER   NOT NULL,                    -- REFERENCES StringIds(id) -- File name
    contentId                   INTEGER   NOT NULL                     -- REFERENCES StringIds(id) -- Stream content
);
CREATE TABLE ThreadNames (
    nameId                      INTEGER   NOT NULL,                    -- REFERENCES StringIds(id) -- Thread name
    priority                    INTEGER,
    globalTid                   INTEGER
);
CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (
    start                       INTEGER   NOT NULL,
    globalPid                   INTEGER,
    streamId                    INTEGER   NOT NULL,                    -- Stream ID.
    gridX                       INTEGER   NOT NULL,
    shortName                   INTEGER   NOT NULL                     -- REFERENCES StringIds(id) -- Base function name
);
INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (5, 281474976710656, 14, 15, 1), (6, 281474976710656, 15, 2, 1);
INSERT INTO ProcessStreams VALUES (281474976710656, 2, 14), (281474976710656, 3, 15);
INSERT INTO ThreadNames VALUES (1, 0, 281474976710657), (16, 0, 17);
INSERT INTO META_DATA_CAPTURE VALUES ('PROCESS_0:ENVIRONMENT_VARIABLE', 'HF_TOKEN=hf_secretsecretsecret'), ('PROCESS_0:ENVIRONMENT_VARIABLE', 'VLLM_USE_V1=1'), ('PROFILING_SESSION_UUID', '77777777-bbbb');
`

func exportFile(t *testing.T, script string, texts map[int64]string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "profile.sqlite")
	conn, err := sqlite.OpenConn(file, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteScript(conn, script, nil); err != nil {
		t.Fatal(err)
	}
	for id, v := range texts {
		if err := sqlitex.Execute(conn, "INSERT INTO StringIds VALUES (?, CAST(? AS TEXT))", &sqlitex.ExecOptions{Args: []any{id, []byte(v)}}); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// What was not meant for others is not in the file in any form, also where numbers of streams, grids and ids of texts are
// the same; everything that an event names is.
func TestStripLeavesNothingPrivate(t *testing.T) {
	texts := map[int64]string{1: "gemm_kernel", 2: "/proc/4711/environ", 3: "stdout of python3",
		14: "HOME=/home/alice\x00HF_TOKEN=hf_secretsecretsecret\x00PATH=/usr/bin\x00", 15: "INFO serving for alice: prompt 'private words'",
		16: "editor of alice", 17: "AWS_SECRET=deepsecret\x00X=1"}
	for name, script := range map[string]string{"tables that say what they name": exported, "tables that do not": strings.ReplaceAll(exported, "REFERENCES", "see")} {
		file := exportFile(t, script, texts)
		if _, err := capture.Strip(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, gone := range []string{"alice", "hf_secret", "private words", "deepsecret", "PATH=", "GPU-1234", "77777777-bbbb"} {
			if bytes.Contains(raw, []byte(gone)) {
				t.Errorf("%s: %q is still there", name, gone)
			}
		}
		for _, kept := range []string{"gemm_kernel", "VLLM_USE_V1=1", "NVIDIA H100"} {
			if !bytes.Contains(raw, []byte(kept)) {
				t.Errorf("%s: %q is gone", name, kept)
			}
		}
	}
	file := exportFile(t, exported, texts)
	if _, err := capture.Strip(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(file, sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var rows []string
	err = sqlitex.Execute(conn, "SELECT start, streamId, gridX, value FROM CUPTI_ACTIVITY_KIND_KERNEL k JOIN StringIds s ON s.id = k.shortName ORDER BY start",
		&sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
			rows = append(rows, s.ColumnText(0)+" "+s.ColumnText(1)+" "+s.ColumnText(2)+" "+s.ColumnText(3))
			return nil
		}})
	if err != nil || strings.Join(rows, ";") != "5 14 15 gemm_kernel;6 15 2 gemm_kernel" {
		t.Errorf("events %q, %v", rows, err)
	}
}

func TestLeak(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	// The value lies across the edge of two reads.
	content := append(bytes.Repeat([]byte("x"), 1<<20-3), []byte("hf_secretsecret and more")...)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env  []string
		want string
	}{
		{[]string{"HF_TOKEN=hf_secretsecret"}, "HF_TOKEN"},
		{[]string{"HF_TOKEN=hf_othersecret"}, ""},
		{[]string{"LANG=hf_secretsecret"}, ""},
		{[]string{"HF_TOKEN=x"}, ""},
		{nil, ""},
	} {
		if got, err := capture.Leak(file, c.env); got != c.want || err != nil {
			t.Errorf("%v: %q, %v", c.env, got, err)
		}
	}
	if _, err := capture.Leak(filepath.Join(t.TempDir(), "none"), []string{"HF_TOKEN=hf_secretsecret"}); err == nil {
		t.Error("no error for a file that is not there")
	}
}

func TestSecretValues(t *testing.T) {
	r := capture.SecretValues([]string{"HF_TOKEN=abcdefgh1234", "OTHER_TOKEN=abcdefgh", "LANG=en_US.UTF-8", "API_KEY=short"})
	if got := r.Replace("a abcdefgh1234 b abcdefgh c en_US.UTF-8 short"); strings.Contains(got, "abcdefgh") || !strings.Contains(got, "en_US.UTF-8 short") || strings.Contains(got, "1234") {
		t.Error(got)
	}
}
