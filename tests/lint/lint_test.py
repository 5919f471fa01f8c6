"""The lint checks find what they are there to find: each law broken once in a small tree."""

import os
import shutil
import sys
import tempfile
import unittest

import format_law
import include_law

CLANG_FORMAT = sys.argv[1] if len(sys.argv) > 1 else ""

GOOD = {
    "lib/base/error.h": "// Errors.\nnamespace mica {\nclass Error {\n};\n}  // namespace mica\n",
    "lib/base/json.cpp": '#include "lib/base/error.h"\n\n#include <nlohmann/json.hpp>\n',
    "lib/tensor/view.h": '// Views.\n#include "lib/base/error.h"\n',
    "quant/weight_type.h": '// Types.\n#include "lib/tensor/view.h"\n',
    "quant/panel.h": "// Panels.\n",
    "formats/reader.h": '// Reads.\n#include "lib/tensor/view.h"\n',
    "formats/writer.h": "// Writes.\n",
    "lib/backend/backend.h": '// Ops.\n#include "quant/weight_type.h"\n',
    "backends/cpu/cpu_backend.h": '// CPU.\n#include "lib/backend/backend.h"\n',
    "backends/cuda/cuda.cpp": '#include "quant/panel.h"\n',
    "lib/model/decoder.h": '// Loop.\n#include "formats/reader.h"\n#include "lib/backend/backend.h"\n',
    "lib/text/tokenizer.h": '// Text.\n#include "lib/base/error.h"\n',
    "lib/runtime/engine.h": '// All.\n#include "lib/model/decoder.h"\n#include "lib/text/tokenizer.h"\n',
    "lib/api/mica.h": "/* C. */\n",
    "lib/api/api.cpp": '#include "lib/api/mica.h"\n#include "lib/runtime/engine.h"\n',
    "cli/command.h": '// A command.\n#include <CLI/CLI.hpp>\n',
    "cli/commands/verify.cpp": '#include "cli/command.h"\n#include "formats/reader.h"\n',
    "cli/commands/engine.cpp": '#include "lib/api/mica.h"\n',
    "lib/runtime/engine.cpp": '#include "lib/runtime/engine.h"\n',
    "tests/engine_test.cpp": '#include "quant/panel.h"\n#include "lib/runtime/engine.h"\n',
    "quant/README.md": "", "formats/README.md": "", "quant/meson.build": "", "formats/meson.build": "",
    "tests/data/a/config.json": "", "tests/data/b/config.json": "",
}

# File -> contents, and the words its violation must contain.
BAD = [
    ("lib/base/a.cpp", '#include "lib/tensor/view.h"\n', "lib/base may not include lib/tensor/view.h"),
    ("lib/base/a.cpp", "#include <lib/tensor/view.h>\n", "may not include"),
    ("lib/base/a.cpp", '  #  include "lib/tensor/view.h"\n', "may not include"),
    ("quant/a.cpp", '#include "formats/reader.h"\n', "quant may not include"),
    ("formats/a.cpp", '#include "quant/weight_type.h"\n', "formats may not include"),
    ("lib/backend/a.cpp", '#include "quant/panel.h"\n', "may not include quant/panel.h"),
    ("backends/cpu/a.cpp", '#include "lib/model/decoder.h"\n', "backends/cpu may not include"),
    ("backends/cuda/a.cpp", '#include "backends/cpu/cpu_backend.h"\n', "backends/cuda may not include"),
    ("lib/model/a.cpp", '#include "backends/cpu/cpu_backend.h"\n', "lib/model may not include"),
    ("lib/model/a.cpp", '#include "formats/writer.h"\n', "may not include formats/writer.h"),
    ("lib/model/a.cpp", '#include "lib/text/tokenizer.h"\n', "lib/model may not include"),
    ("lib/text/a.cpp", '#include "lib/model/decoder.h"\n', "lib/text may not include"),
    ("lib/runtime/a.cpp", '#include "lib/api/mica.h"\n', "lib/runtime may not include"),
    ("lib/api/a.cpp", '#include "lib/model/decoder.h"\n', "lib/api may not include"),
    ("lib/api/mica.hpp", '// C++.\n#include "lib/runtime/engine.h"\n', "lib/api/mica.hpp may not include"),
    ("cli/a.cpp", '#include "lib/runtime/engine.h"\n', "cli may not include"),
    ("cli/commands/chat.cpp", '#include "formats/reader.h"\n', "cli may not include formats/reader.h"),
    ("lib/base/a.cpp", '#include "tests/support/a.h"\n', "expected an include path from the root"),
    ("lib/base/a.cpp", '#include "error.h"\n', "expected an include path from the root"),
    ("extra/a.cpp", "", "expected a folder of the include law"),
    ("lib/base/a.h", "// A.\n#include <nlohmann/json.hpp>\n", "only in .cpp files"),
    ("quant/a.h", "// A.\n#include <fmt/core.h>\n", "only in .cpp files"),
    ("lib/base/a.h", "#pragma once\n", "expected an opening comment"),
    ("lib/tensor/error.h", "// A second one.\n", "expected one file of this name"),
    ("lib/tensor/a.h", "// A.\nnamespace mica {\nclass Error : Base {\n", "one header that defines it"),
    ("quant/panel_test.cpp.in", '#include "formats/reader.h"\n', "quant may not include"),
]


class Tree:
    """A small repository on disk, while the `with` lasts."""

    def __init__(self, files):
        self.root = tempfile.mkdtemp()
        for name, text in files.items():
            path = os.path.join(self.root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def __enter__(self):
        return self.root

    def __exit__(self, *_):
        shutil.rmtree(self.root)


class LintTest(unittest.TestCase):
    def test_a_tree_that_keeps_the_laws_has_no_violations(self):
        with Tree(GOOD) as root:
            self.assertEqual(list(include_law.violations(root)), [])

    def test_each_broken_law_is_one_violation(self):
        for name, text, words in BAD:
            with self.subTest(name=name, text=text), Tree({**GOOD, name: text}) as root:
                found = list(include_law.violations(root))
                self.assertEqual(len(found), 1, found)
                self.assertIn(words, found[0])

    @unittest.skipUnless(CLANG_FORMAT, "clang-format was not found")
    def test_a_file_that_clang_format_would_change_is_found(self):
        style = {".clang-format": "BasedOnStyle: Google\n"}
        files = {**style, "a.cpp": "int  a ;\n", "b.cpp": "int b;\n"}
        with Tree(files) as root:
            self.assertEqual(list(format_law.misformatted(CLANG_FORMAT, root)), ["a.cpp"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
