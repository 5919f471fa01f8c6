"""The source files of the repository, as paths relative to its root."""

import os
import subprocess

CODE = (".h", ".hpp", ".c", ".cpp", ".cu", ".cpp.in")


def source_files(root):
    """Files that git tracks or would track; in an unpacked archive, all that are not built."""
    command = ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = []
        for folder, subfolders, files in os.walk(root):
            subfolders[:] = [s for s in subfolders if not s.startswith((".", "build"))]
            names += [os.path.relpath(os.path.join(folder, file), root) for file in files]
    return sorted(name for name in set(names) if os.path.isfile(os.path.join(root, name)))


def code_files(root):
    return [name for name in source_files(root) if name.endswith(CODE)]
