"""Runs the commands of README.md's console blocks, in order, in an empty folder.

A line `$ command` must succeed; the lines under it, up to the next command, must be printed by it.
Environment: MICA_TEST_PROGRAM, MICA_DEMO_GGUF. Exit code 77 (skipped) without them.
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def console_commands(text):
    """Pairs of a command and the output the README shows for it."""
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            yield command, shown.strip()


def main():
    program, gguf = os.environ.get("MICA_TEST_PROGRAM"), os.environ.get("MICA_DEMO_GGUF")
    if not program or not gguf:
        print("MICA_TEST_PROGRAM and MICA_DEMO_GGUF are not set")
        return 77
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/models")
        os.symlink(gguf, f"{folder}/models/{os.path.basename(gguf)}")
        os.symlink(f"{ROOT}/README.md", f"{folder}/README.md")
        # Each command has a shell of its own, so the PATH of the block's first line is set here.
        environment = dict(os.environ, PATH=os.path.dirname(program) + ":" + os.environ["PATH"])
        for command, shown in console_commands(open(f"{ROOT}/README.md", encoding="utf-8").read()):
            done = subprocess.run(command, shell=True, cwd=folder, env=environment,
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL)
            good = done.returncode == 0 and shown in done.stdout
            failures += not good
            print("ok    " if good else "FAILED", command)
            if not good:
                print(f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}\nexpected:\n{shown}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
