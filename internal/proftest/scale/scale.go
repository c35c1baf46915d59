// Package scale makes large Nsight Systems exports out of small real ones, for benchmarks and tests of memory use.
//
// A scaled capture is the real one played over and over: every event row is repeated with its times shifted by the
// length of the recording and its correlation ids moved out of the way, while names, shapes and nesting stay. So its
// totals are known: kernel count and GPU time are those of the source times the number of repeats. Where the wanted
// number of API calls or ranges is higher than that gives, calls that do not launch anything, or ranges around the
// existing calls, are added within each repeat; where it is lower, calls that launch nothing and ranges are left out.
package scale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Target is the size to reach. A zero leaves the number that repeating gives.
type Target struct {
	Kernels int64
	Calls   int64
	Ranges  int64
}

// Result is what was written.
type Result struct {
	Repeats int64
	Kernels int64
	Calls   int64
	Ranges  int64
}

// tables that hold events, with the columns to move: times by the length of the recording, ids by their extent. Calls come
// first: calls that are added widen the extent for everything that joins them.
var tables = []struct {
	name       string
	times, ids []string
	once       string // rows that are not repeated
}{
	{"CUPTI_ACTIVITY_KIND_RUNTIME", []string{"start", "end"}, []string{"correlationId"}, ""},
	{"CUPTI_ACTIVITY_KIND_KERNEL", []string{"start", "end"}, []string{"correlationId"}, ""},
	{"CUPTI_ACTIVITY_KIND_MEMCPY", []string{"start", "end"}, []string{"correlationId"}, ""},
	{"CUPTI_ACTIVITY_KIND_MEMSET", []string{"start", "end"}, []string{"correlationId"}, ""},
	{"CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", []string{"start", "end"}, []string{"correlationId"}, ""},
	{"CUPTI_ACTIVITY_KIND_CUDA_EVENT", nil, []string{"correlationId"}, ""},
	{"CUPTI_ACTIVITY_KIND_GRAPH_TRACE", []string{"start", "end"}, []string{"correlationId"}, ""},
	{"NVTX_EVENTS", []string{"start", "end"}, nil, "eventType NOT IN (34, 59, 60) OR start < 0"},
	{"OSRT_API", []string{"start", "end"}, nil, ""},
	{"GPU_METRICS", []string{"timestamp", "rawTimestamp"}, nil, "timestamp < 0"},
}

// File writes a scaled copy of the SQLite export from to the new file to.
func File(ctx context.Context, from, to string, target Target) (res Result, err error) {
	if _, err := os.Stat(to); err == nil {
		return res, fmt.Errorf("writing %s: the file exists", to)
	}
	conn, err := sqlite.OpenConn(to, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return res, fmt.Errorf("writing %s: %w", to, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.SetInterrupt(ctx.Done())
	s := &scaler{conn: conn, target: target}
	if err := s.run(from); err != nil {
		return res, fmt.Errorf("scaling %s: %w", from, err)
	}
	return s.result, nil
}

type scaler struct {
	conn   *sqlite.Conn
	target Target
	result Result

	period  int64 // length of the recording
	stride  int64 // extent of correlation ids
	columns map[string][]string
}

func (s *scaler) run(from string) error {
	for _, sql := range []string{
		"PRAGMA journal_mode = off", "PRAGMA synchronous = off", "PRAGMA cache_size = -65536", "PRAGMA temp_store = memory",
		"ATTACH '" + strings.ReplaceAll(from, "'", "''") + "' AS src",
		"BEGIN",
	} {
		if err := s.exec(sql); err != nil {
			return err
		}
	}
	if err := s.copySchema(); err != nil {
		return err
	}
	if err := s.measure(); err != nil {
		return err
	}
	if err := s.exec("CREATE TEMP TABLE reps AS WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n+1 FROM r WHERE n+1 < ?1) SELECT n FROM r", s.result.Repeats); err != nil {
		return err
	}
	scaled := map[string]bool{}
	for _, t := range tables {
		if s.columns[t.name] == nil {
			continue
		}
		scaled[t.name] = true
		if err := s.scale(t.name, t.times, t.ids, t.once); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	for name := range s.columns {
		if scaled[name] {
			continue
		}
		if err := s.exec("INSERT INTO main." + quote(name) + " SELECT * FROM src." + quote(name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := s.lengthen(); err != nil {
		return err
	}
	for table, n := range map[string]*int64{
		"CUPTI_ACTIVITY_KIND_KERNEL": &s.result.Kernels, "CUPTI_ACTIVITY_KIND_RUNTIME": &s.result.Calls,
		"NVTX_EVENTS": &s.result.Ranges,
	} {
		if s.columns[table] == nil {
			continue
		}
		if err := s.number(n, "SELECT count(*) FROM main."+table); err != nil {
			return err
		}
	}
	return s.exec("COMMIT")
}

func (s *scaler) exec(sql string, args ...any) error {
	return sqlitex.ExecuteTransient(s.conn, sql, &sqlitex.ExecOptions{Args: args})
}

func (s *scaler) number(n *int64, sql string, args ...any) error {
	return sqlitex.ExecuteTransient(s.conn, sql, &sqlitex.ExecOptions{Args: args, ResultFunc: func(q *sqlite.Stmt) error {
		*n = q.ColumnInt64(0)
		return nil
	}})
}

func (s *scaler) copySchema() error {
	var create []string
	s.columns = map[string][]string{}
	err := sqlitex.ExecuteTransient(s.conn, "SELECT name, sql FROM src.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
		&sqlitex.ExecOptions{ResultFunc: func(q *sqlite.Stmt) error {
			s.columns[q.ColumnText(0)] = []string{}
			create = append(create, q.ColumnText(1))
			return nil
		}})
	if err != nil {
		return err
	}
	for _, sql := range create {
		if err := s.exec(sql); err != nil {
			return err
		}
	}
	for name := range s.columns {
		err := sqlitex.ExecuteTransient(s.conn, "SELECT name FROM pragma_table_info(?1, 'main')",
			&sqlitex.ExecOptions{Args: []any{name}, ResultFunc: func(q *sqlite.Stmt) error {
				s.columns[name] = append(s.columns[name], q.ColumnText(0))
				return nil
			}})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scaler) measure() error {
	var kernels int64
	if err := s.number(&kernels, "SELECT count(*) FROM src.CUPTI_ACTIVITY_KIND_KERNEL"); err != nil {
		return err
	}
	if kernels == 0 {
		return errors.New("the source has no kernels")
	}
	s.result.Repeats = max(1, (s.target.Kernels+kernels/2)/kernels)
	// Rows of the tail may end after the recording: the longer of the two keeps repeats apart.
	err := s.number(&s.period, `SELECT max((SELECT max(duration) FROM src.ANALYSIS_DETAILS),
		(SELECT max(end) FROM src.CUPTI_ACTIVITY_KIND_RUNTIME), (SELECT max(end) FROM src.CUPTI_ACTIVITY_KIND_KERNEL)) + 1000`)
	if err != nil {
		return err
	}
	return s.number(&s.stride, "SELECT max(correlationId) - min(correlationId) + 1 FROM src.CUPTI_ACTIVITY_KIND_RUNTIME")
}

// scale writes all repeats of one table, repeat by repeat, each in the order of its base.
func (s *scaler) scale(name string, times, ids []string, once string) error {
	cols := s.columns[name]
	if once != "" {
		if err := s.exec("INSERT INTO main." + name + " SELECT * FROM src." + name + " WHERE " + once + " ORDER BY rowid"); err != nil {
			return err
		}
	} else {
		once = "0"
	}
	if err := s.exec("CREATE TEMP TABLE base AS SELECT * FROM src." + name + " WHERE NOT (" + once + ") ORDER BY rowid"); err != nil {
		return err
	}
	var err error
	switch name {
	case "CUPTI_ACTIVITY_KIND_RUNTIME":
		s.stride, err = s.fitCalls()
	case "NVTX_EVENTS":
		err = s.fitRanges()
	}
	if err != nil {
		return err
	}
	var exprs []string
	for _, c := range cols {
		e := "base." + quote(c)
		switch {
		case contains(times, c):
			e += fmt.Sprintf(" + reps.n * %d", s.period)
		case contains(ids, c):
			e += fmt.Sprintf(" + reps.n * %d", s.stride)
		}
		exprs = append(exprs, e)
	}
	err = s.exec("INSERT INTO main." + name + " SELECT " + strings.Join(exprs, ", ") + " FROM temp.reps CROSS JOIN temp.base")
	if err != nil {
		return err
	}
	return s.exec("DROP TABLE temp.base")
}

// fitCalls thins out or fills up the calls of one repeat. Calls that launched something stay: kernels join them.
func (s *scaler) fitCalls() (int64, error) {
	want := s.target.Calls / s.result.Repeats
	var have int64
	if err := s.number(&have, "SELECT count(*) FROM temp.base"); err != nil || s.target.Calls == 0 {
		return s.stride, err
	}
	if want < have {
		return s.stride, s.exec(`DELETE FROM temp.base WHERE rowid IN (SELECT rowid FROM temp.base WHERE correlationId NOT IN
			(SELECT correlationId FROM src.CUPTI_ACTIVITY_KIND_KERNEL) ORDER BY rowid * 2654435761 % 4294967296 LIMIT ?1)`, have-want)
	}
	// Copies of calls without consequences, right after calls of the capture.
	err := s.exec(`CREATE TEMP TABLE extra AS SELECT b.rowid AS at, b.* FROM temp.base AS b WHERE correlationId NOT IN
		(SELECT correlationId FROM src.CUPTI_ACTIVITY_KIND_KERNEL)`)
	if err != nil {
		return 0, err
	}
	var cols, filler []string
	for _, c := range s.columns["CUPTI_ACTIVITY_KIND_RUNTIME"] {
		cols = append(cols, quote(c))
		switch c {
		case "start", "end":
			filler = append(filler, "extra.end")
		case "correlationId":
			filler = append(filler, fmt.Sprintf("extra.correlationId + %d * k.n", s.stride))
		default:
			filler = append(filler, "extra."+quote(c))
		}
	}
	var extra int64
	if err := s.number(&extra, "SELECT count(*) FROM temp.extra"); err != nil || extra == 0 {
		return s.stride, err
	}
	times := (want-have)/extra + 1
	err = s.exec(fmt.Sprintf(`INSERT INTO temp.base(%s) SELECT %s FROM
		(WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM k WHERE n < %d) SELECT n FROM k) AS k CROSS JOIN temp.extra LIMIT %d`,
		strings.Join(cols, ", "), strings.Join(filler, ", "), times, want-have))
	if err != nil {
		return 0, err
	}
	return s.stride * (times + 1), errors.Join(s.exec("DROP TABLE temp.extra"), s.sortBase())
}

// fitRanges thins out or fills up the ranges of one repeat. New ones lie around API calls, nested, half of them with
// inline and half with registered text.
func (s *scaler) fitRanges() error {
	want := s.target.Ranges / s.result.Repeats
	var have int64
	if err := s.number(&have, "SELECT count(*) FROM temp.base"); err != nil || s.target.Ranges == 0 {
		return err
	}
	if want < have {
		return s.exec("DELETE FROM temp.base WHERE rowid IN (SELECT rowid FROM temp.base ORDER BY rowid * 2654435761 % 4294967296 LIMIT ?1)", have-want)
	}
	var calls int64
	if err := s.number(&calls, "SELECT count(*) FROM src.CUPTI_ACTIVITY_KIND_RUNTIME"); err != nil || calls == 0 {
		return err
	}
	depth := (want-have)/calls + 1
	err := s.exec(fmt.Sprintf(`INSERT INTO temp.base(start, end, eventType, text, textId, globalTid, domainId)
		SELECT c.start, c.end, 59,
			CASE WHEN k.n %% 2 THEN printf('model.layers.%%d.%%s', c.rowid %% 32, CASE k.n %% 5 WHEN 0 THEN 'self_attn' WHEN 1 THEN 'mlp.gate_up_proj'
				WHEN 2 THEN 'input_layernorm' WHEN 3 THEN 'self_attn.rotary_emb' ELSE 'mlp.down_proj' END) END,
			CASE WHEN k.n %% 2 THEN NULL ELSE c.nameId END, c.globalTid, 0
		FROM src.CUPTI_ACTIVITY_KIND_RUNTIME AS c CROSS JOIN
			(WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM k WHERE n < %d) SELECT n FROM k) AS k LIMIT %d`, depth, want-have))
	if err != nil {
		return err
	}
	return s.sortBase()
}

// sortBase puts the base into the order of time, as exports have it.
func (s *scaler) sortBase() error {
	for _, sql := range []string{
		"CREATE TEMP TABLE sorted AS SELECT * FROM temp.base ORDER BY start, rowid",
		"DROP TABLE temp.base", "ALTER TABLE temp.sorted RENAME TO base",
	} {
		if err := s.exec(sql); err != nil {
			return err
		}
	}
	return nil
}

// lengthen makes the recorded window as long as the events.
func (s *scaler) lengthen() error {
	if s.columns["ANALYSIS_DETAILS"] == nil {
		return nil
	}
	return s.exec(fmt.Sprintf("UPDATE main.ANALYSIS_DETAILS SET duration = %d, stopTime = startTime + %d",
		s.result.Repeats*s.period, s.result.Repeats*s.period))
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
