// Command stepscope turns a profile of an LLM server into the bottleneck, its evidence, the next knob and its predicted
// gain, and proves after the change whether it helped.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK      = 0
	exitFinding = 1 // a finding or regression at or over --fail-on
	exitInput   = 2 // unusable input or usage
)

// errFinding is returned by a verb whose result is at or over --fail-on: the result is printed, the exit code is 1.
var errFinding = errors.New("a finding is at or over --fail-on")

// description is the head of the first screen: what the program is for, and one line for each way to start.
const description = `Explains a profile of an LLM server: what the bottleneck is, the evidence, what to change next and what it will gain.

    stepscope diagnose                            on an embedded real capture
    stepscope diagnose profile.nsys-rep           on yours
    stepscope capture -- vllm serve MODEL         make one, with its load
    stepscope try KNOB=VALUE -- vllm serve MODEL  prove that a change helps
`

// command is the whole command line. A verb is one field here and one file beside this one.
type command struct {
	Diagnose diagnoseCmd `cmd:"" help:"Name the bottleneck, its evidence and the next knob. Without PROFILE: on an embedded real capture."`
	Capture  captureCmd  `cmd:"" help:"Start a server under the profiler, load it, and leave one folder that every verb reads."`
	Try      tryCmd      `cmd:"" help:"Change one knob: measure before and after in turns, judge, and write it down."`
	Compare  compareCmd  `cmd:"" help:"Compare two profiles, benchmark results or capture folders."`
	Ledger   ledgerCmd   `cmd:"" help:"Read the experiments written down by try."`
	Timeline timelineCmd `cmd:"" help:"Show the profile as a timeline in a local web page."`
	Steps    stepsCmd    `cmd:"" help:"Print one row per engine step, with its time budget as columns."`
	Curves   curvesCmd   `cmd:"" help:"Print GPU and memory utilisation over time."`
	Stats    statsCmd    `cmd:"" help:"Print reports with the names and columns of nsys stats."`
	Export   exportCmd   `cmd:"" help:"Write the profile for Perfetto, or as Parquet or CSV tables."`
	Knobs    knobsCmd    `cmd:"" help:"Look up what a knob is called, what it does and what it risks."`
	Bench    benchCmd    `cmd:"" help:"Send a short burst of requests and measure latency and throughput."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// env is what a verb may touch of the outside world.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
	version        string
	command        []string // what stands behind --, for the verbs that start a server
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run parses args and executes the verb. It is main without the process, for tests.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	// A profile is read once and kept whole; collecting less often is worth more than the memory it costs.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(memorySoftLimit)
	var cli command
	version := programVersion()
	exit := -1
	parser, err := kong.New(&cli, kong.Name("stepscope"),
		kong.Description(description),
		kong.Vars{"version": version}, kong.Writers(stdout, stderr), kong.UsageOnError(), kong.Exit(func(c int) { exit = c }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
	if err != nil {
		fmt.Fprintln(stderr, "stepscope:", err)
		return exitInput
	}
	args, server := splitCommand(args)
	kctx, err := parser.Parse(tryKnobs(parser.Model, negatives(knobNames(args))))
	if exit >= 0 {
		return exit
	}
	if err != nil {
		if args[0] == "ledger" && strings.HasPrefix(err.Error(), "unexpected argument") {
			err = fmt.Errorf("%w; the ledger's folder is named by --dir", err)
		}
		fmt.Fprintf(stderr, "stepscope: %s\nRun \"stepscope --help\" for the verbs and options.\n", err)
		return exitInput
	}
	switch err := kctx.Run(&env{ctx, stdout, stderr, version, server}); {
	case err == nil:
		return exitOK
	case errors.Is(err, errFinding):
		return exitFinding
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "stepscope: interrupted")
		return exitInput
	case errors.Is(err, syscall.EPIPE):
		return exitOK // the reader has seen enough
	default:
		fmt.Fprintln(stderr, "stepscope:", err)
		return exitInput
	}
}

// splitCommand parts the server's command, behind --, from the arguments of try and capture.
func splitCommand(args []string) (own, server []string) {
	if len(args) == 0 || args[0] != "try" && args[0] != "capture" {
		return args, nil
	}
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i], args[i+1:]
	}
	return args, nil
}

// negatives joins an option and the negative number behind it, as in "--warmup -1": the parser takes the number for an option.
func negatives(args []string) []string {
	out := make([]string, 0, len(args))
	for i, a := range args {
		if i > 0 && strings.HasPrefix(a, "-") && strings.HasPrefix(args[i-1], "--") && len(args[i-1]) > 2 && !strings.Contains(args[i-1], "=") {
			if _, err := strconv.ParseFloat(a, 64); err == nil {
				out[len(out)-1] += "=" + a
				continue
			}
		}
		if a == "--" {
			return append(out, args[i:]...)
		}
		out = append(out, a)
	}
	return out
}

// memorySoftLimit lets the collector work harder before a large capture grows further.
const memorySoftLimit = 640 << 20

// programVersion is the module version, or "devel" for a build from a checkout.
func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
