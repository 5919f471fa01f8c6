"""Conversion under faults: afterwards there is the old file, whole, or the new one, verified.

  * kill -9 at every system call of a conversion (strace injection)
  * every system call on files fails once: ENOSPC, EIO (strace injection)
  * every write fails once, and all writes are short (LD_PRELOAD)

Usage: fault_injection.py PROGRAM [--quick]. Needs strace, cc and the package `gguf`; exit code 77
(skipped) without them. --quick takes every seventh point.
"""
import collections
import errno
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import tiny_gguf
except ImportError as missing:
    print(missing)
    sys.exit(77)

FILE_CALLS = ("openat", "write", "pwrite64", "fsync", "rename", "ftruncate", "close", "mmap", "fstat",
              "newfstatat", "statfs")


def digest(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()


class Faults:
    def __init__(self, program, folder, stride):
        self.program, self.folder, self.stride = os.path.abspath(program), folder, stride
        self.output = f"{folder}/out.mica"
        self.old = f"{folder}/old.mica"
        self.failures, self.points, self.kept, self.replaced = 0, 0, 0, 0
        for name, layers in (("old", 1), ("new", 2)):
            tiny_gguf.write(f"{folder}/{name}.gguf", layers=layers)
            subprocess.run([self.program, "convert", "-q", f"{folder}/{name}.gguf",
                            f"{folder}/{name}.mica"], check=True)
        self.hashes = {digest(self.old): "old", digest(f"{folder}/new.mica"): "new"}
        self.command = [self.program, "convert", "--threads", "1", "-q", f"{folder}/new.gguf", self.output]

    def system_calls(self):
        """How often each system call happens in an undisturbed conversion."""
        log = f"{self.folder}/strace.log"
        subprocess.run(["strace", "-f", "-o", log, *self.command], check=True)
        names = re.findall(r"^(?:\d+\s+)?([a-z_0-9]+)\(", open(log).read(), re.M)
        return collections.Counter(names)

    def run(self, label, prefix, env=None, dies=False):
        """One conversion over the old file with one fault; checks what it leaves."""
        shutil.copy(self.old, self.output)
        done = subprocess.run([*prefix, *self.command], capture_output=True,
                              env=dict(os.environ, **(env or {})), timeout=120)
        self.points += 1
        found = self.hashes.get(digest(self.output))
        left = glob.glob(f"{self.folder}/.out*") + glob.glob(f"{self.folder}/*tmp*")
        complaints = []
        if found is None:
            complaints.append("the output is neither the old file nor the new one")
        if done.returncode == 0 and found != "new":
            complaints.append("success was reported, but the new file is not there")
        if not dies and left:
            complaints.append(f"left behind: {left}")
        if not dies and done.returncode not in (0, 1, 4) :
            complaints.append(f"exit code {done.returncode}")
        if not dies and done.returncode != 0 and not done.stderr.startswith(b"mica: "):
            complaints.append("no sentence")
        for path in left:
            os.remove(path)
        self.kept += found == "old"
        self.replaced += found == "new"
        if complaints:
            self.failures += 1
            print(f"FAILED {label}: {'; '.join(complaints)}\n{done.stderr.decode()}")

    def inject(self, call, fault, when, dies):
        self.run(f"{call} {when} {fault}",
                 ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}",
                  "-e", f"inject={call}:{fault}:when={when}"], dies=dies)

    def kill_everywhere(self, calls):
        for call, count in sorted(calls.items()):
            if call in ("execve", "exit_group"):
                continue
            for when in range(1, count + 1, self.stride):
                self.inject(call, "signal=KILL", when, dies=True)

    def fail_everywhere(self, calls):
        # Calls before main() belong to the loader: the first ones of each kind may end the process.
        for call in FILE_CALLS:
            for when in range(1, calls.get(call, 0) + 1, self.stride):
                for name in ("ENOSPC", "EIO"):
                    self.inject(call, f"error={name}", when, dies=self.in_loader(call, when))

    def in_loader(self, call, when):
        log = open(f"{self.folder}/strace.log").read()
        before = log[:log.index("new.gguf\", O_RDONLY")]
        return when <= len(re.findall(rf"\b{call}\(", before))

    def fail_writes(self):
        library = f"{self.folder}/short_write.so"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "short_write.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self.run("short writes", [], {"LD_PRELOAD": library, "MICA_SHORT": "1"})
        for at in range(1, 60, self.stride):
            for error in (errno.ENOSPC, errno.EIO):
                self.run(f"write {at} fails with {errno.errorcode[error]}", [],
                         {"LD_PRELOAD": library, "MICA_SHORT": "1", "MICA_FAIL_AT": str(at),
                          "MICA_FAIL_ERRNO": str(error)})


def main():
    stride = 7 if "--quick" in sys.argv else 1
    program = next((a for a in sys.argv[1:] if not a.startswith("-")),
                   os.environ.get("MICA_TEST_PROGRAM"))
    if not program or not shutil.which("strace") or not shutil.which("cc"):
        print("needs the program, strace and cc")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        faults = Faults(program, folder, stride)
        calls = faults.system_calls()
        faults.kill_everywhere(calls)
        faults.fail_everywhere(calls)
        faults.fail_writes()
        print(f"{faults.points} faults: {faults.kept} kept the old file, {faults.replaced} left the "
              f"new one, {faults.failures} failed")
        return 1 if faults.failures else 0


if __name__ == "__main__":
    sys.exit(main())
