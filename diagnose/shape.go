package diagnose

import (
	"fmt"
	"math"

	"github.com/stepscope/stepscope/device"
	"github.com/stepscope/stepscope/serving"
)

// weightsTolerance is how far the weights that the server loaded may be from those of an assumed shape: padding of the
// vocabulary and buffers account for about one per cent.
const weightsTolerance = 0.03

// findShape decides on the model's shape: the user's configuration, the operator shapes of a trace, else a public model of the server's model name, as
// far as neither the layer count in the kernels nor the loaded weights contradict it. Without agreement it abstains.
func (c *Context) findShape() {
	s := c.Input.Shape
	note, local := c.ShapeFrom, false
	if traced, from, ok := c.opShape(); ok && note == "" {
		s, note = traced, from
		local = true
	}
	if note == "" {
		name := c.Engine.Model
		if !name.Known {
			c.ShapeNote = "the model's shape is not recorded: give its config.json with --model-config, or the server log"
			return
		}
		known, m := device.Known(name.Value)
		if !m.OK {
			c.ShapeNote = fmt.Sprintf("%q is not a model whose shape is known here: give its config.json with --model-config", name.Value)
			return
		}
		s, note = known, fmt.Sprintf("public shape of %s by the server's model name", m.Name)
		checked := false
		if s, c.ShapeNote = withFormats(s, c.Engine); c.ShapeNote != "" {
			return
		}
		var how string
		if s, how, c.ShapeNote = c.withRanks(s); c.ShapeNote != "" {
			return
		}
		note += how
		if n := c.A.Pattern.LayerCount; n > 1 {
			stages := max(1, s.PP) // of a pipeline; where they differ, by one layer or by what the outer ones leave out
			if least := s.Layers / stages; (n < least-1 || n > least+1 || stages == 1 && n != least) && !c.specDecode() {
				c.ShapeNote = fmt.Sprintf("the name %q means %d layers but the kernels repeat %d times", name.Value, s.Layers, n)
				return
			}
			note += fmt.Sprintf(", %d layers seen", n)
			checked = true
		}
		if w := c.Engine.WeightsGiB; w.Known {
			want := s.LoadedBytes() / (1 << 30)
			if tolerance := weightsTolerance*want + 0.1; math.Abs(w.Value-want) > tolerance {
				how, why := c.loadedGap(want, w.Value, tolerance)
				if how == "" {
					c.ShapeNote = fmt.Sprintf("the name %q means %.1f GiB of weights per GPU but the server loaded %.1f GiB%s", name.Value, want, w.Value, why)
					return
				}
				note += ", " + how
			}
			note += fmt.Sprintf(", %.2f GiB of weights loaded", w.Value)
			checked = true
		}
		if m.Assumed && !checked {
			c.ShapeNote = fmt.Sprintf("%q names only a family and a size, and nothing in the capture confirms the shape: give config.json with --model-config", name.Value)
			return
		}
	} else {
		if s, c.ShapeNote = withFormats(s, c.Engine); c.ShapeNote != "" {
			return
		}
		if local {
			s = c.wholeModel(s)
		} else {
			var how string
			if s, how, c.ShapeNote = c.withRanks(s); c.ShapeNote != "" {
				return
			}
			note += how
		}
	}
	if err := s.CheckValid(); err != nil {
		c.ShapeNote = err.Error()
		return
	}
	c.shape, c.HasShape, c.ShapeNote = s, true, note
}

// withFormats applies what the engine was told about number formats; problem says why it cannot.
func withFormats(s device.Shape, e serving.EngineInfo) (_ device.Shape, problem string) {
	if e.DType.Known && s.DType == "" {
		if d, ok := device.ParseDType(e.DType.Value); ok {
			s.DType = d
		}
	}
	ok := true
	if q := e.Quantization.Or(""); s.WeightDType == "" {
		if s, ok = s.WithQuantization(q); !ok {
			return s, fmt.Sprintf("how quantization %q stores weights is not known here", q)
		}
	}
	if s, ok = s.WithKVCacheDType(e.KVCacheDType.Or("")); !ok {
		return s, fmt.Sprintf("how kv-cache-dtype %q stores the cache is not known here", e.KVCacheDType.Value)
	}
	return s, ""
}

// ModelShape returns the model's shape; ok is false when it is not known.
func (c *Context) ModelShape() (s device.Shape, ok bool) { return c.shape, c.HasShape }
