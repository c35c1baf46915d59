package summary

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// CurveSchema names the JSON that Curve.WriteJSON writes.
const CurveSchema = "stepscope.curves/1"

// WriteJSON writes the curve as one object:
//
//	{"schema": "stepscope.curves/1", "window_ns": {"start", "end"}, "bin_ns", "bins", "devices": [{"id", "name",
//	 "series": [{"id", "unit", "source", "basis", "mean", "covered_ns", "integral", "values": [...]}],
//	 "not_recorded": [{"id", "text", "remedy"}]}]}
//
// A value is null where the bin was not recorded, and so is a mean where nothing was. integral is in ns for a fraction
// and in bytes for a rate.
func (c *Curve) WriteJSON(w io.Writer) error {
	bw := bufio.NewWriterSize(w, 1<<16)
	b := fmt.Appendf(nil, "{\n  \"schema\": %q,\n  \"window_ns\": {\"start\": %d, \"end\": %d},\n  \"bin_ns\": %d,\n  \"bins\": %d,\n  \"devices\": [",
		CurveSchema, c.Window.Start, c.Window.End, c.BinNs, c.Bins())
	for i := range c.Devices {
		d := &c.Devices[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "\n    {\"id\": %d, \"name\": ", d.ID)
		if d.Name == "" {
			b = append(b, "null"...)
		} else {
			b = appendJSONString(b, d.Name)
		}
		b = append(b, ", \"series\": ["...)
		for j := range d.Series {
			if j > 0 {
				b = append(b, ',')
			}
			b = d.Series[j].appendJSON(b)
			if _, err := bw.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
		b = append(b, "\n    ], \"not_recorded\": ["...)
		for j, m := range d.Missing {
			if j > 0 {
				b = append(b, ',')
			}
			b = append(b, "\n      {\"id\": "...)
			b = appendJSONString(b, m.ID)
			b = append(b, ", \"text\": "...)
			b = appendJSONString(b, m.Text)
			b = append(b, ", \"remedy\": "...)
			b = appendJSONString(b, m.Remedy)
			b = append(b, '}')
		}
		b = append(b, "\n    ]}"...)
	}
	b = append(b, "\n  ]\n}\n"...)
	if _, err := bw.Write(b); err != nil {
		return err
	}
	return bw.Flush()
}

func (x *Series) appendJSON(b []byte) []byte {
	b = append(b, "\n      {\"id\": "...)
	b = appendJSONString(b, x.ID)
	b = append(b, ", \"unit\": "...)
	b = appendJSONString(b, x.Unit)
	b = append(b, ", \"source\": "...)
	b = appendJSONString(b, string(x.Source))
	b = append(b, ", \"basis\": "...)
	b = appendJSONString(b, x.Basis)
	b = append(b, ", \"mean\": "...)
	b = appendJSONFloat(b, x.Mean)
	b = append(b, ", \"covered_ns\": "...)
	b = strconv.AppendInt(b, x.CoveredNs, 10)
	b = append(b, ", \"integral\": "...)
	if x.CoveredNs == 0 {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendFloat(b, math.Round(x.Integral), 'f', 0, 64)
	}
	b = append(b, ", \"values\": ["...)
	for i, v := range x.Values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONFloat(b, v)
	}
	return append(b, "]}"...)
}

// WriteCSV writes one line per bin: its start and end, then a column for every series of every device, headed
// "gpu<id>.<series>_<unit>". An empty field means that the bin was not recorded.
func (c *Curve) WriteCSV(w io.Writer) error {
	bw := bufio.NewWriterSize(w, 1<<16)
	line := []byte("start_ns,end_ns")
	for i := range c.Devices {
		for j := range c.Devices[i].Series {
			x := &c.Devices[i].Series[j]
			line = fmt.Appendf(line, ",gpu%d.%s_%s", c.Devices[i].ID, x.ID, x.Unit)
		}
	}
	line = append(line, '\n')
	if _, err := bw.Write(line); err != nil {
		return err
	}
	for b := range c.Bins() {
		bin := c.Bin(b)
		line = strconv.AppendInt(line[:0], bin.Start, 10)
		line = append(line, ',')
		line = strconv.AppendInt(line, bin.End, 10)
		for i := range c.Devices {
			for j := range c.Devices[i].Series {
				line = append(line, ',')
				if v := c.Devices[i].Series[j].Values[b]; !math.IsNaN(v) {
					line = appendJSONFloat(line, v)
				}
			}
		}
		line = append(line, '\n')
		if _, err := bw.Write(line); err != nil {
			return err
		}
	}
	return bw.Flush()
}

// bars are the levels of a plot, from nothing to full.
var bars = []rune(" ▁▂▃▄▅▆▇█")

// gap stands for a part of a plot that was not recorded.
const gap = '·'

// WriteText plots every series as one line of at most width columns (100 if width is 0): its id, its mean and a bar for
// each slice of the window. Fractions are drawn from 0 to 1, rates from 0 to their largest value, which is printed.
func (c *Curve) WriteText(w io.Writer, width int) error {
	if width <= 0 {
		width = 100
	}
	const label, mean = 13, 11
	cols := max(10, width-label-mean-4)
	cols = min(cols, max(1, c.Bins()))
	bw := bufio.NewWriter(w)
	if c.Window.Empty() || len(c.Devices) == 0 {
		fmt.Fprintln(bw, "no device work and no counters were recorded in this window")
		return bw.Flush()
	}
	for i := range c.Devices {
		d := &c.Devices[i]
		name := ""
		if d.Name != "" {
			name = " " + printable(d.Name)
		}
		fmt.Fprintln(bw, cut(fmt.Sprintf("GPU %d%s, %s to %s in bins of %s", d.ID, name, span(c.Window.Start), span(c.Window.End),
			span(c.BinNs)), width))
		for j := range d.Series {
			x := &d.Series[j]
			line := fmt.Sprintf("%-*s %*s |%s|", label, x.ID, mean, x.meanText(), x.plot(c, cols))
			fmt.Fprintln(bw, strings.TrimRight(line, " "))
			if x.Source == FromEstimate {
				fmt.Fprintln(bw, cut("  "+x.ID+" is an estimate: "+x.Basis, width))
			}
		}
		for _, m := range d.Missing {
			line := fmt.Sprintf("%-*s %*s  not recorded: %s", label, m.ID, mean, "-", m.Text)
			if m.Remedy != "" && utf8.RuneCountInString(line)+2+len(m.Remedy) <= width {
				line += "; " + m.Remedy
			}
			fmt.Fprintln(bw, cut(line, width))
		}
	}
	return bw.Flush()
}

// meanText prints the mean: per cent of a fraction, or a rate in decimal units.
func (x *Series) meanText() string {
	switch {
	case math.IsNaN(x.Mean):
		return "-"
	case x.Unit == Fraction:
		return fmt.Sprintf("%.1f %%", 100*x.Mean)
	}
	return rateText(x.Mean)
}

func rateText(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "GB/s"}, {1e6, "MB/s"}, {1e3, "kB/s"}} {
		if v >= u.size {
			return fmt.Sprintf("%.2f %s", v/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.0f B/s", v)
}

// plot draws the series in cols characters.
func (x *Series) plot(c *Curve, cols int) string {
	area, ns := make([]float64, cols), make([]int64, cols)
	n := len(x.Values)
	for b, v := range x.Values {
		if x.Covered[b] == 0 {
			continue
		}
		// The column that holds the middle of the bin.
		at := (2*b + 1) * cols / (2 * n)
		area[at] += v * float64(x.Covered[b])
		ns[at] += x.Covered[b]
	}
	top := 1.0
	if x.Unit != Fraction {
		top = 0
		for i := range area {
			if ns[i] > 0 {
				top = max(top, area[i]/float64(ns[i]))
			}
		}
	}
	out := make([]rune, cols)
	for i := range out {
		if ns[i] == 0 {
			out[i] = gap
			continue
		}
		v := area[i] / float64(ns[i])
		level := 0
		if v > 0 && top > 0 {
			// Anything above zero shows.
			level = min(len(bars)-1, max(1, int(math.Round(v/top*float64(len(bars)-1)))))
		}
		out[i] = bars[level]
	}
	return string(out)
}

// span prints a time in the unit that reads best.
func span(ns int64) string {
	abs := ns
	if abs < 0 {
		abs = -abs
	}
	unit, name := int64(1), "ns"
	switch {
	case abs >= 1e9:
		unit, name = 1e9, "s"
	case abs >= 1e6:
		unit, name = 1e6, "ms"
	case abs >= 1e3:
		unit, name = 1e3, "us"
	}
	return strconv.FormatFloat(math.Round(float64(ns)/float64(unit)*1000)/1000, 'f', -1, 64) + " " + name
}
