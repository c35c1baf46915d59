package capture

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/stepscope/stepscope/knob"
	"github.com/stepscope/stepscope/ledger"
)

// Stripped counts what was taken out of an exported profile.
type Stripped struct {
	Metadata  int `json:"metadata_rows"` // environment, command line, names of user, host and folders
	Host      int `json:"host_rows"`     // properties of the machine that no analysis needs
	Streams   int `json:"stream_rows"`   // output of the server, files that nsys added
	Processes int `json:"process_rows"`  // of processes that are not in the profile
	Strings   int `json:"string_rows"`   // texts that only these rows named
	Masked    int `json:"masked_values"`
}

// Names of the environment that say how the engine ran and are kept, when they are no secret.
var keptEnvironment = []string{"CUDA_", "NVIDIA_VISIBLE_DEVICES", "VLLM_", "SGLANG_", "NCCL_", "OMP_", "TORCH_", "PYTORCH_", "TRITON_", "FLASHINFER_", "HIP_", "ROCR_"}

// metadata that is taken out, as patterns of GLOB.
var dropped = []string{"*COMMAND", "*ARGUMENT_[0-9]*", "*WORKING_DIR", "*USER_NAME", "*DEVICE_DISPLAY_NAME", "EXPORT_HOST", "EXPORT_USER", "EXPORT_PARAM_*_FILE", "EXPORT_PARAM_*_PATH", "EXPORT_PARAM_*_PATH_ABS", "*SESSION_UUID"}

// properties of the host that are kept.
var keptHost = []string{"CpuCores", "CpuSpeedMhz", "CpuArchitecture", "CpuDescription", "NvDriverVersion", "CudaDriverVersion", "HardwarePlatform", "SoftwarePlatform", "OsDescription", "Has*", "Supports*", "Is*"}

// strip takes out of an export of Nsight Systems what must not travel with a profile. Event tables, ids and times stay as
// they are. The file is rewritten, so that nothing stays behind in free pages.
func strip(ctx context.Context, file string) (s Stripped, err error) {
	conn, err := sqlite.OpenConn(file, sqlite.OpenReadWrite)
	if err != nil {
		return s, fmt.Errorf("reading %s: %w", file, err)
	}
	defer func() {
		if cerr := conn.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("writing %s: %w", file, cerr)
		}
	}()
	conn.SetInterrupt(ctx.Done())
	t := stripper{conn: conn}
	for _, p := range []string{"PRAGMA trusted_schema = off", "PRAGMA secure_delete = on", "PRAGMA journal_mode = memory"} {
		t.exec(p)
	}
	t.exec("BEGIN")
	t.load()
	t.exec("CREATE TEMP TABLE gone(id INTEGER PRIMARY KEY)")    // texts that go when no event names them
	t.exec("CREATE TEMP TABLE private(id INTEGER PRIMARY KEY)") // texts that go whatever names them
	t.metadata(&s)
	t.host(&s)
	t.streams(&s)
	t.processes(&s)
	t.strings(&s)
	t.exec("COMMIT")
	t.exec("DROP TABLE temp.gone")
	t.exec("DROP TABLE temp.private")
	t.exec("VACUUM")
	if t.err != nil {
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
		return s, fmt.Errorf("removing private data from %s: %w", file, t.err)
	}
	return s, nil
}

// exportedBy returns the version of Nsight Systems that an export names, "" when it names none.
func exportedBy(file string) (version string) {
	conn, err := sqlite.OpenConn(file, sqlite.OpenReadOnly)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = sqlitex.ExecuteTransient(conn, "SELECT value FROM META_DATA_EXPORT WHERE name = 'EXPORT_PRODUCT_VERSION'", &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error { version = s.ColumnText(0); return nil }})
	return version
}

// stripper runs statements until one fails.
type stripper struct {
	conn   *sqlite.Conn
	err    error
	tables map[string][]string // columns by table
	texts  map[string][]string // columns that hold ids of StringIds, by table
}

// exec runs a statement and returns the number of rows it changed.
func (t *stripper) exec(sql string, args ...any) int {
	if t.err != nil {
		return 0
	}
	if t.err = sqlitex.ExecuteTransient(t.conn, sql, &sqlitex.ExecOptions{Args: args}); t.err != nil {
		t.err = fmt.Errorf("%s: %w", sql, t.err)
		return 0
	}
	return t.conn.Changes()
}

func (t *stripper) each(sql string, row func(*sqlite.Stmt)) {
	if t.err != nil {
		return
	}
	t.err = sqlitex.ExecuteTransient(t.conn, sql, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error { row(s); return nil }})
}

// load lists tables and columns: exports of different versions have different ones.
func (t *stripper) load() {
	t.tables, t.texts = map[string][]string{}, map[string][]string{}
	documented := false
	t.each("SELECT name, sql FROM sqlite_master WHERE type = 'table'", func(s *sqlite.Stmt) {
		name := s.ColumnText(0)
		t.tables[name] = nil
		for _, m := range textColumn.FindAllStringSubmatch(s.ColumnText(1), -1) {
			t.texts[name] = append(t.texts[name], m[1])
			documented = true
		}
	})
	for n := range t.tables {
		t.each("PRAGMA table_info("+identifier(n)+")", func(s *sqlite.Stmt) { t.tables[n] = append(t.tables[n], s.ColumnText(1)) })
	}
	if documented {
		return
	}
	for n, columns := range t.tables {
		for _, c := range columns {
			if refersToText(c) {
				t.texts[n] = append(t.texts[n], c)
			}
		}
	}
}

// textColumn is a column of which nsys says in the table's own definition that it holds the id of a text.
var textColumn = regexp.MustCompile(`(?m)^\s*"?(\w+)"?\s[^\n]*--\s*REFERENCES StringIds\(id\)`)

func identifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func (t *stripper) has(table string, columns ...string) bool {
	have := map[string]bool{}
	for _, c := range t.tables[table] {
		have[c] = true
	}
	for _, c := range columns {
		if !have[c] {
			return false
		}
	}
	return len(have) > 0
}

// metadata drops the environment but for the engine's own variables, the command line and the names of people and places.
func (t *stripper) metadata(s *Stripped) {
	for _, table := range []string{"META_DATA_CAPTURE", "META_DATA_EXPORT", "EXPORT_META_DATA"} {
		if !t.has(table, "name", "value") {
			continue
		}
		for _, p := range dropped {
			s.Metadata += t.exec("DELETE FROM "+table+" WHERE name GLOB ?", p)
		}
		type change struct {
			row   int64
			value string
			drop  bool
		}
		var changes []change
		t.each("SELECT rowid, name, value FROM "+table, func(r *sqlite.Stmt) {
			name, value := r.ColumnText(1), r.ColumnText(2)
			if strings.HasSuffix(name, "ENVIRONMENT_VARIABLE") && !keepVariable(value) {
				changes = append(changes, change{row: r.ColumnInt64(0), drop: true})
			} else if m := ledger.MaskText(value); m != value {
				changes = append(changes, change{row: r.ColumnInt64(0), value: m})
			}
		})
		for _, c := range changes {
			if c.drop {
				s.Metadata += t.exec("DELETE FROM "+table+" WHERE rowid = ?", c.row)
			} else {
				s.Masked += t.exec("UPDATE "+table+" SET value = ? WHERE rowid = ?", c.value, c.row)
			}
		}
	}
	if t.has("DIAGNOSTIC_EVENT", "text") {
		masked := map[int64]string{}
		t.each("SELECT rowid, text FROM DIAGNOSTIC_EVENT", func(r *sqlite.Stmt) {
			if v := r.ColumnText(1); ledger.MaskText(v) != v {
				masked[r.ColumnInt64(0)] = ledger.MaskText(v)
			}
		})
		for row, v := range masked {
			s.Masked += t.exec("UPDATE DIAGNOSTIC_EVENT SET text = ? WHERE rowid = ?", v, row)
		}
	}
}

// keepVariable reports whether NAME=VALUE tells how the engine ran and is no secret.
func keepVariable(v string) bool {
	name, _, ok := strings.Cut(v, "=")
	if !ok || knob.SecretName(name) || ledger.MaskText(v) != v {
		return false
	}
	for _, p := range keptEnvironment {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func (t *stripper) host(s *Stripped) {
	if t.has("TARGET_INFO_GPU", "uuid") {
		s.Masked += t.exec("UPDATE TARGET_INFO_GPU SET uuid = '' WHERE uuid <> ''")
	}
	if !t.has("TARGET_INFO_SYSTEM_ENV", "name") {
		return
	}
	var keep []string
	var args []any
	for _, k := range keptHost {
		keep = append(keep, "name GLOB ?")
		args = append(args, k)
	}
	s.Host += t.exec("DELETE FROM TARGET_INFO_SYSTEM_ENV WHERE NOT ("+strings.Join(keep, " OR ")+")", args...)
}

// streams drops what the server printed and the files that nsys put beside it.
func (t *stripper) streams(s *Stripped) {
	for _, table := range []string{"ProcessStreams", "ANALYSIS_FILE"} {
		for c, list := range map[string]string{"filenameId": "gone", "contentId": "private"} {
			if t.has(table, c) {
				t.exec("INSERT OR IGNORE INTO " + list + " SELECT " + c + " FROM " + table + " WHERE " + c + " IS NOT NULL")
			}
		}
		if t.has(table) {
			s.Streams += t.exec("DELETE FROM " + table)
		}
	}
}

// processes drops the machine's processes and threads that have no event.
func (t *stripper) processes(s *Stripped) {
	t.exec("CREATE TEMP TABLE here(pid INTEGER PRIMARY KEY)")
	found := false
	for _, table := range slices.Sorted(maps.Keys(t.tables)) {
		if table == "PROCESSES" || table == "ThreadNames" || table == "ProcessStreams" || table == "ANALYSIS_FILE" || strings.HasPrefix(table, "ENUM_") {
			continue
		}
		for _, c := range []string{"globalPid", "globalTid", "endGlobalTid"} {
			if t.has(table, c) {
				found = true
				t.exec("INSERT OR IGNORE INTO here SELECT DISTINCT " + identifier(c) + " >> 24 FROM " + identifier(table) + " WHERE " + identifier(c) + " IS NOT NULL")
			}
		}
	}
	if found {
		if t.has("PROCESSES", "globalPid") {
			s.Processes += t.exec("DELETE FROM PROCESSES WHERE globalPid IS NULL OR globalPid >> 24 NOT IN (SELECT pid FROM here)")
		}
		if t.has("ThreadNames", "globalTid", "nameId") {
			t.exec("INSERT OR IGNORE INTO gone SELECT nameId FROM ThreadNames WHERE globalTid IS NULL OR globalTid >> 24 NOT IN (SELECT pid FROM here)")
			s.Processes += t.exec("DELETE FROM ThreadNames WHERE globalTid IS NULL OR globalTid >> 24 NOT IN (SELECT pid FROM here)")
		}
	}
	t.exec("DROP TABLE temp.here")
}

// strings drops the texts that only the dropped rows named. What the server printed, and every text with a zero byte in
// it, which only a process' environment has, is emptied whatever else seems to name it.
func (t *stripper) strings(s *Stripped) {
	if !t.has("StringIds", "id", "value") {
		return
	}
	t.exec("INSERT OR IGNORE INTO private SELECT id FROM StringIds WHERE instr(CAST(value AS BLOB), x'00') > 0")
	s.Strings += t.exec("UPDATE StringIds SET value = '' WHERE id IN (SELECT id FROM private)")
	for _, table := range slices.Sorted(maps.Keys(t.texts)) {
		for _, c := range t.texts[table] {
			if table != "StringIds" && t.has(table, c) {
				t.exec("DELETE FROM gone WHERE id IN (SELECT " + identifier(c) + " FROM " + identifier(table) + ")")
			}
		}
	}
	s.Strings += t.exec("DELETE FROM StringIds WHERE id IN (SELECT id FROM gone) AND id NOT IN (SELECT id FROM private)")
}

// refersToText reports whether a column may hold an id of StringIds, for exports whose tables do not say so.
func refersToText(column string) bool {
	switch column {
	case "symbol", "module", "shortName", "demangledName", "mangledName", "name", "text", "label", "message":
		return true
	}
	return strings.HasSuffix(column, "Id") || strings.HasSuffix(column, "Ids")
}

// leak returns the name of a secret variable whose value stands in a file, "" when there is none. It is the last check of
// a profile that is meant to be shared: what nsys puts where changes from version to version.
func leak(file string, env []string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", file, cause(err))
	}
	defer f.Close()
	names, longest := secretValues(env), 0
	for v := range names {
		longest = max(longest, len(v))
	}
	if len(names) == 0 {
		return "", nil
	}
	values := slices.Sorted(maps.Keys(names))
	buf := make([]byte, 1<<20+longest)
	kept := 0
	for {
		n, err := f.Read(buf[kept:])
		chunk := buf[:kept+n]
		for _, v := range values {
			if bytes.Contains(chunk, []byte(v)) {
				return names[v], nil
			}
		}
		if err == io.EOF {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", file, cause(err))
		}
		kept = copy(buf, chunk[max(0, len(chunk)-longest):])
	}
}

// minSecret is the length from which on a value is looked for: shorter ones stand everywhere by chance.
const minSecret = 8

// secretValues returns the values of secret variables, with their names.
func secretValues(env []string) map[string]string {
	names := map[string]string{}
	for _, kv := range env {
		if name, value, _ := strings.Cut(kv, "="); len(value) >= minSecret && knob.SecretName(name) {
			names[value] = name
		}
	}
	return names
}

// secretReplacer masks the values of an environment's secret variables in a text, wherever they stand.
func secretReplacer(env []string) *strings.Replacer {
	values := slices.Collect(maps.Keys(secretValues(env)))
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) }) // the longer one first where one holds another
	var pairs []string
	for _, v := range values {
		pairs = append(pairs, v, knob.Masked)
	}
	return strings.NewReplacer(pairs...)
}
