"""llama.cpp as a peer: built natively from the source package of llama-cpp-python, and run.

Everything made here stays in one folder; a second call finds it there. Needs cmake and a C++ compiler.
"""
import hashlib
import json
import os
import subprocess
import sys

VERSION = "0.3.36"  # of llama-cpp-python
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
PROGRAMS = ("llama-bench", "llama-quantize", "llama-completion")
CMAKE_OPTIONS = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_OPENSSL=OFF",
                 "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF",
                 "-DLLAMA_BUILD_MTMD=OFF", "-DLLAMA_BUILD_UI=OFF"]


def run(command, **options):
    """Its standard output; what it says on the other one only when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexit code {done.returncode}\n"
                 f"{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def source_archive(folder):
    path = f"{folder}/llama_cpp_python-{VERSION}.tar.gz"
    if not os.path.exists(path):
        print(f"Fetching llama-cpp-python {VERSION} (77 MB) from PyPI", file=sys.stderr)
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
             "llama-cpp-python", "--dest", folder, f"llama-cpp-python=={VERSION}"])
    with open(path, "rb") as file:
        found = hashlib.sha256(file.read()).hexdigest()
    if found != SHA256:
        sys.exit(f"{path}: expected SHA-256 {SHA256}, found {found}")
    return path


def build(folder):
    """The folder of the programs, which are built there first if need be."""
    target = f"{folder}/llama.cpp-{VERSION}"
    programs = f"{target}/bin"
    if all(os.path.exists(f"{programs}/{name}") for name in PROGRAMS):
        return programs
    os.makedirs(folder, exist_ok=True)
    source = f"{folder}/llama_cpp_python-{VERSION}/vendor/llama.cpp"
    run(["tar", "-xzf", source_archive(folder), "-C", folder])
    print("Building llama.cpp (some ten minutes on two cores)", file=sys.stderr)
    run(["cmake", "-S", source, "-B", target, *CMAKE_OPTIONS])
    run(["cmake", "--build", target, "--parallel", str(os.cpu_count()), "--target", *PROGRAMS])
    return programs


class LlamaCpp:
    def __init__(self, programs, threads):
        self.programs = programs
        self.threads = threads

    def version(self):
        done = subprocess.run([f"{self.programs}/llama-bench", "--version"], capture_output=True, text=True)
        return (done.stdout + done.stderr).splitlines()[0].strip()

    def quantize(self, source, target, kind):
        """Weights that are quantized already are taken for floats."""
        run([f"{self.programs}/llama-quantize", "--allow-requantize", source, target, kind])

    def rate(self, model, test, tokens, depth, flash_attention):
        """Tokens a second of one run after a warm-up."""
        prompt, generated = (tokens, 0) if test == "prefill" else (0, tokens)
        output = run([f"{self.programs}/llama-bench", "-m", model, "-p", str(prompt), "-n", str(generated),
                      "-d", str(depth), "-t", str(self.threads), "-fa", str(flash_attention), "-r", "1",
                      "-o", "jsonl"])
        return json.loads(output.splitlines()[-1])["avg_ts"]

    def first_token(self, model, prompt, *options):
        """A command that writes one token; nothing it could leave out is left in."""
        return [f"{self.programs}/llama-completion", "-m", model, "-p", prompt, "-n", "1", "-t",
                str(self.threads), "-c", "512", "--temp", "0", "-no-cnv", "--no-warmup", "-fit", "off",
                *options]
