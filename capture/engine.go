package capture

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/stepscope/stepscope/knob"
)

var (
	versionText = regexp.MustCompile(`^\d+\.\d+[\w.+-]*$`)
	pythonName  = regexp.MustCompile(`^python[\d.]*$`)
)

// packageNames are the Python distributions of engines.
var packageNames = map[string]string{knob.VLLM: "vllm", knob.SGLang: "sglang"}

// EngineVersion asks the installation that the command would start for the engine's version: the Python that the
// command, or the script that it names, runs with. It starts no engine. "" = not found.
func EngineVersion(ctx context.Context, eng knob.Engine, argv, env []string) string {
	pkg := packageNames[eng.Name]
	if pkg == "" || len(argv) == 0 {
		return ""
	}
	python := interpreter(argv[0])
	if python == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := run(ctx, env, python, "-c", "import importlib.metadata as m; print(m.version('"+pkg+"'))")
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if v := strings.TrimSpace(lines[len(lines)-1]); versionText.MatchString(v) {
		return v
	}
	return ""
}

// interpreter returns the Python behind a command: itself, or that of the script's first line.
func interpreter(program string) string {
	path, err := exec.LookPath(program)
	if err != nil {
		return ""
	}
	if pythonName.MatchString(filepath.Base(path)) {
		return path
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(f, 512).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "#!") {
		return ""
	}
	words := strings.Fields(strings.TrimPrefix(line, "#!"))
	if len(words) > 1 && filepath.Base(words[0]) == "env" {
		words = words[1:]
	}
	if len(words) == 0 || !pythonName.MatchString(filepath.Base(words[0])) {
		return ""
	}
	path, err = exec.LookPath(words[0])
	if err != nil {
		return ""
	}
	return path
}
