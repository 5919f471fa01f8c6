"""Compiles one .cu file, and keeps what ptxas says of its kernels: compile_kernels.py LOG COMMAND...

The log is the input of tests/backends/cuda/check_budget.py.
"""

import pathlib
import subprocess
import sys


def main():
    log, command = pathlib.Path(sys.argv[1]), sys.argv[2:]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    log.write_text(result.stdout + result.stderr)
    if result.returncode != 0:
        sys.stderr.write(result.stdout + result.stderr)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
