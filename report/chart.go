package report

import (
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// maxTip bounds a text in a picture, in characters.
const maxTip = 600

// canvas draws one SVG picture. Coordinates are user units; every text and attribute value that is not a constant of this
// package passes through text, which escapes it. Numbers are written with one decimal, so that the same result gives the
// same bytes.
type canvas struct {
	b strings.Builder
}

// newCanvas starts a picture of w x h units with a title and a description for those who cannot see it. id must be unique
// in the document.
func newCanvas(id string, w, h float64, title, desc string) *canvas {
	c := &canvas{}
	c.b.WriteString(`<svg class="chart" role="img" viewBox="0 0 `)
	c.num(w)
	c.b.WriteByte(' ')
	c.num(h)
	c.b.WriteString(`" width="`)
	c.num(w)
	c.b.WriteString(`" height="`)
	c.num(h)
	c.b.WriteString(`" aria-labelledby="` + id + `-t ` + id + `-d"><title id="` + id + `-t">`)
	c.text(title)
	c.b.WriteString(`</title><desc id="` + id + `-d">`)
	c.text(desc)
	c.b.WriteString(`</desc>`)
	return c
}

// done ends the picture.
func (c *canvas) done() template.HTML {
	c.b.WriteString("</svg>\n")
	return template.HTML(c.b.String())
}

func (c *canvas) text(s string) { c.b.WriteString(html.EscapeString(Cut(clean(s), maxTip))) }

func (c *canvas) num(v float64) { c.b.WriteString(coord(v)) }

// coord formats a coordinate; what is no number is 0.
func coord(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	v = math.Round(max(-1e6, min(1e6, v))*10) / 10
	if v == 0 {
		return "0" // not -0
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func (c *canvas) attr(name, v string) {
	c.b.WriteString(" " + name + `="`)
	c.text(v)
	c.b.WriteByte('"')
}

func (c *canvas) numAttr(name string, v float64) {
	c.b.WriteString(" " + name + `="`)
	c.num(v)
	c.b.WriteByte('"')
}

// end closes an element, with a tooltip if tip is not empty.
func (c *canvas) end(element, tip string) {
	if tip == "" {
		c.b.WriteString("/>")
		return
	}
	c.b.WriteString("><title>")
	c.text(tip)
	c.b.WriteString("</title></" + element + ">")
}

// paint is how a shape is filled: by a CSS class, a colour, or both.
type paint struct {
	class string
	fill  string
}

// of returns the paint of a swatch; id names its hatch pattern.
func (s swatch) paint(id string) paint {
	if s.Hatch {
		return paint{"", "url(#" + hatchID(id) + ")"}
	}
	return paint{"", s.Fill}
}

func (c *canvas) paint(p paint) {
	if p.class != "" {
		c.attr("class", p.class)
	}
	if p.fill != "" {
		c.attr("fill", p.fill)
	}
}

func (c *canvas) rect(x, y, w, h float64, p paint, tip string) {
	c.b.WriteString("<rect")
	c.numAttr("x", x)
	c.numAttr("y", y)
	c.numAttr("width", max(0, w))
	c.numAttr("height", max(0, h))
	c.paint(p)
	c.end("rect", tip)
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	c.b.WriteString("<line")
	c.numAttr("x1", x1)
	c.numAttr("y1", y1)
	c.numAttr("x2", x2)
	c.numAttr("y2", y2)
	c.attr("class", class)
	c.b.WriteString("/>")
}

// label writes a line of text. anchor is start, middle or end.
func (c *canvas) label(x, y float64, s, anchor, class string) { c.inked(x, y, s, anchor, class, "") }

func (c *canvas) inked(x, y float64, s, anchor, class, fill string) {
	c.b.WriteString("<text")
	c.numAttr("x", x)
	c.numAttr("y", y)
	if anchor != "start" {
		c.attr("text-anchor", anchor)
	}
	if class != "" {
		c.attr("class", class)
	}
	if fill != "" {
		c.attr("fill", fill)
	}
	c.b.WriteByte('>')
	c.text(s)
	c.b.WriteString("</text>")
}

// path writes a shape from path data made by this package.
func (c *canvas) path(d string, p paint, tip string) {
	c.b.WriteString(`<path d="` + d + `"`)
	c.paint(p)
	c.end("path", tip)
}

// marker draws the shape of a phase at a point, so that phases are told apart without colour.
func (c *canvas) marker(x, y, r float64, shape int, p paint, tip string) {
	switch shape {
	case 0:
		c.b.WriteString("<circle")
		c.numAttr("cx", x)
		c.numAttr("cy", y)
		c.numAttr("r", r)
		c.paint(p)
		c.end("circle", tip)
	case 1:
		r *= 1.25
		c.path("M"+coord(x)+" "+coord(y-r)+"L"+coord(x+r)+" "+coord(y+r*0.8)+"H"+coord(x-r)+"Z", p, tip)
	case 2:
		r *= 0.9
		c.rect(x-r, y-r, 2*r, 2*r, p, tip)
	default:
		r *= 1.25
		c.path("M"+coord(x)+" "+coord(y-r)+"L"+coord(x+r)+" "+coord(y)+"L"+coord(x)+" "+coord(y+r)+"L"+coord(x-r)+" "+coord(y)+"Z", p, tip)
	}
}

// pathData collects rectangles of one paint into one path, which is several times smaller than one element each.
type pathData struct{ b strings.Builder }

func (p *pathData) rect(x, y, w, h float64) {
	p.b.WriteString("M" + coord(x) + " " + coord(y) + "h" + coord(w) + "v" + coord(h) + "h" + coord(-w) + "z")
}

func (p *pathData) String() string { return p.b.String() }

// scale maps values to coordinates, linearly or by logarithm.
type scale struct {
	lo, hi   float64 // values
	from, to float64 // coordinates
	log      bool
}

func (s scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	if s.log {
		v, lo, hi = math.Log10(max(v, math.SmallestNonzeroFloat64)), math.Log10(lo), math.Log10(hi)
	}
	if hi <= lo {
		return s.from
	}
	return s.from + (v-lo)/(hi-lo)*(s.to-s.from)
}

// ticks returns round values inside the scale, about n of them for a linear one.
func (s scale) ticks(n int) []float64 {
	var out []float64
	if !(s.hi > s.lo) {
		return out
	}
	if s.log {
		decades := math.Log10(s.hi) - math.Log10(s.lo)
		steps := []float64{1}
		if decades < 1.2 {
			steps = []float64{1, 2, 3, 5, 7}
		} else if decades < 3 {
			steps = []float64{1, 2, 5}
		}
		every := max(1, int(math.Ceil(decades/float64(max(1, n)))))
		for e := int(math.Floor(math.Log10(s.lo))); e <= int(math.Ceil(math.Log10(s.hi))) && len(out) < 64; e += every {
			for _, m := range steps {
				if v := m * math.Pow(10, float64(e)); v >= s.lo*(1-1e-9) && v <= s.hi*(1+1e-9) {
					out = append(out, v)
				}
			}
		}
		return out
	}
	step := niceStep((s.hi - s.lo) / float64(max(1, n)))
	for i := math.Ceil(s.lo/step-1e-9) + 0; i*step <= s.hi+step*1e-9 && len(out) < 64; i++ {
		out = append(out, i*step)
	}
	return out
}

// niceStep rounds up to 1, 2 or 5 times a power of ten.
func niceStep(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*p >= v*(1-1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// hatchID is the id of a part's pattern.
func hatchID(id string) string {
	return "h-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r == '-' {
			return r
		}
		return '-'
	}, id)
}

// hatches defines the patterns of idle parts for the whole document.
func hatches(used []string) template.HTML {
	c := &canvas{}
	c.b.WriteString(`<svg class="defs" width="0" height="0" aria-hidden="true" focusable="false"><defs>`)
	for _, id := range used {
		s := swatchOf(partSwatches, id)
		if p, ok := lifecycleSwatches[id]; ok {
			s = p
		} else if p, ok := phaseSwatches[id]; ok {
			s = p
		}
		if !s.Hatch {
			continue
		}
		line := ink(s.Fill)
		c.b.WriteString(`<pattern id="` + hatchID(id) + `" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6"`)
		c.attr("fill", s.Fill)
		c.b.WriteString(`/><rect width="1.5" height="6" fill-opacity=".35"`)
		c.attr("fill", line)
		c.b.WriteString(`/></pattern>`)
	}
	c.b.WriteString("</defs></svg>\n")
	return template.HTML(c.b.String())
}
