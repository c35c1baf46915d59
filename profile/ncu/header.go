package ncu

import (
	"strings"
)

// header is the first row of a table: where its columns are.
type header struct {
	page  string
	cols  map[string]int
	names []string
	// raw page
	metrics []int // columns that are metrics
	units   []string
	// summary page
	average string
}

// identity are the columns that name a launch, in every page.
var identity = map[string]bool{
	"ID": true, "Process ID": true, "Process Name": true, "Host Name": true, "Kernel Name": true, "Kernel Time": true,
	"Context": true, "Stream": true, "Block Size": true, "Grid Size": true, "Device": true, "CC": true,
	"Section Name": true, "Invocations": true, "Domain": true, pushPop: true,
}

// pushPop is the column of NVTX push/pop ranges.
const pushPop = "thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg"

// newHeader reads a header row; nil when it is none.
func newHeader(cols []string) *header {
	h := &header{cols: map[string]int{}, names: cols}
	for i, c := range cols {
		c = strings.TrimSpace(c)
		cols[i] = c
		if _, twice := h.cols[c]; !twice {
			h.cols[c] = i
		}
	}
	if _, ok := h.cols["Kernel Name"]; !ok {
		return nil
	}
	_, metric := h.cols["Metric Name"]
	_, value := h.cols["Metric Value"]
	_, id := h.cols["ID"]
	switch {
	case metric && value && id:
		h.page = "details"
	case metric:
		for _, name := range []string{"Average", "Metric Value"} {
			if _, ok := h.cols[name]; ok {
				h.page, h.average = "summary", name
				return h
			}
		}
		return nil
	case id:
		h.page = "raw"
		h.units = make([]string, len(cols))
		for i, c := range cols {
			if identity[c] || c == "" || strings.Contains(c, ":") {
				continue
			}
			// Some exports put the unit behind the name: "gpu__time_duration.sum [us]".
			if name, unit, ok := strings.Cut(c, " ["); ok && strings.HasSuffix(unit, "]") {
				h.names[i], h.units[i] = name, strings.TrimSuffix(unit, "]")
			}
			h.metrics = append(h.metrics, i)
		}
	default:
		return nil
	}
	return h
}

// at returns the field of a named column, "" where the row is too short.
func (h *header) at(row []string, name string) string {
	i, ok := h.cols[name]
	if !ok || i >= len(row) {
		return ""
	}
	return strings.TrimSpace(row[i])
}

// row takes one row of the table over.
func (h *header) row(p *parser, row []string) error {
	switch h.page {
	case "raw":
		return h.rawRow(p, row)
	case "summary":
		return h.summaryRow(p, row)
	}
	return h.detailsRow(p, row)
}

// launch reads the columns that name a launch.
func (h *header) launch(row []string) func(*Kernel) {
	return func(k *Kernel) {
		k.ID, _ = integer(h.at(row, "ID"))
		k.PID, _ = integer(h.at(row, "Process ID"))
		k.Process = h.at(row, "Process Name")
		k.Name = h.at(row, "Kernel Name")
		k.Context, _ = integer(h.at(row, "Context"))
		k.Stream, _ = integer(h.at(row, "Stream"))
		k.Grid, k.Block = triple(h.at(row, "Grid Size")), triple(h.at(row, "Block Size"))
		if d, ok := integer(h.at(row, "Device")); ok {
			k.Device = d
		} else {
			k.GPU = h.at(row, "Device")
		}
		k.CC = h.at(row, "CC")
		k.Ranges = ranges(h.at(row, pushPop))
	}
}

// rawRow reads a row of the raw page: the units below the header, or a kernel with a column per metric.
func (h *header) rawRow(p *parser, row []string) error {
	id, ok := integer(h.at(row, "ID"))
	if !ok {
		if h.at(row, "ID") == "" && h.at(row, "Kernel Name") == "" {
			for _, i := range h.metrics {
				if i < len(row) && strings.TrimSpace(row[i]) != "" {
					h.units[i] = strings.TrimSpace(row[i])
				}
			}
			return nil
		}
		p.skipped++
		return nil
	}
	if h.at(row, "Kernel Name") == "" {
		p.skipped++
		return nil
	}
	pid, _ := integer(h.at(row, "Process ID"))
	k, err := p.kernel(kernelKey{pid: pid, id: id, name: h.at(row, "Kernel Name")}, h.launch(row))
	if err != nil {
		return err
	}
	for _, i := range h.metrics {
		if i >= len(row) {
			break
		}
		if h.names[i] == "device__attribute_display_name" {
			p.file.Kernels[k].GPU = strings.TrimSpace(row[i])
			continue
		}
		if err := p.value(k, h.names[i], h.units[i], row[i]); err != nil {
			return err
		}
	}
	return nil
}

// detailsRow reads a row of the details page: one metric of one kernel, or a rule's remark.
func (h *header) detailsRow(p *parser, row []string) error {
	id, ok := integer(h.at(row, "ID"))
	if !ok || h.at(row, "Kernel Name") == "" {
		p.skipped++
		return nil
	}
	pid, _ := integer(h.at(row, "Process ID"))
	k, err := p.kernel(kernelKey{pid: pid, id: id, name: h.at(row, "Kernel Name")}, h.launch(row))
	if err != nil {
		return err
	}
	unit := h.at(row, "Metric Unit")
	metric := canonical(h.at(row, "Section Name"), h.at(row, "Metric Name"), unit)
	return p.value(k, metric, unit, h.at(row, "Metric Value"))
}

// summaryRow reads a row of --print-summary: one metric averaged over the launches of one kernel.
func (h *header) summaryRow(p *parser, row []string) error {
	if h.at(row, "Kernel Name") == "" || h.at(row, "Metric Name") == "" {
		p.skipped++
		return nil
	}
	pid, _ := integer(h.at(row, "Process ID"))
	key := kernelKey{pid: pid, name: h.at(row, "Kernel Name"), grid: h.at(row, "Grid Size"), block: h.at(row, "Block Size")}
	k, err := p.kernel(key, func(k *Kernel) {
		h.launch(row)(k)
		if n, ok := integer(h.at(row, "Invocations")); ok && n > 0 {
			k.Invocations = n
		}
	})
	if err != nil {
		return err
	}
	unit := h.at(row, "Metric Unit")
	metric := canonical(h.at(row, "Section Name"), h.at(row, "Metric Name"), unit)
	return p.value(k, metric, unit, h.at(row, h.average))
}
