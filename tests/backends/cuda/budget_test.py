"""check_budget.py finds what it is there to find."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_budget  # noqa: E402

LOG = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'mica_a' for 'sm_80'
ptxas info    : Function properties for mica_a
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 8 bytes cumulative stack size, 128 bytes smem
ptxas info    : Compiling entry function 'mica_b' for 'sm_80'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 17 registers
"""


class Budget(unittest.TestCase):
    def setUp(self):
        path = pathlib.Path(self.enterContext(__import__("tempfile").TemporaryDirectory())) / "log"
        path.write_text(LOG)
        self.found = check_budget.read_logs([path])
        self.budget = {"toolkit": "13.0", "hot": ["mica_b*"],
                       "kernels": {"mica_a": {"sm_80": [40, 16, 128]}, "mica_b": {"sm_80": [17, 0, 0]}}}

    def complaints(self, toolkit="13.0"):
        return list(check_budget.complaints(self.budget, toolkit, self.found))

    def test_figures_are_read(self):
        self.assertEqual(self.found, {"mica_a": {"sm_80": [40, 16, 128]}, "mica_b": {"sm_80": [17, 0, 0]}})
        self.assertEqual(self.complaints(), [])

    def test_every_figure_counts(self):
        for i, label in enumerate(check_budget.FIGURES):
            allowed = [40, 16, 128]
            allowed[i] -= 1
            self.budget["kernels"]["mica_a"]["sm_80"] = allowed
            self.assertEqual(len(self.complaints()), 1)
            self.assertIn(label, self.complaints()[0])

    def test_hot_kernels_spill_nothing_whatever_the_toolkit(self):
        self.budget["hot"] = ["mica_a"]
        self.assertIn("a hot kernel", self.complaints("12.8")[0])

    def test_missing_and_new_kernels_are_named(self):
        self.budget["kernels"]["mica_c"] = {"sm_80": [1, 0, 0]}
        del self.budget["kernels"]["mica_b"]
        self.assertEqual(len(self.complaints()), 2)


if __name__ == "__main__":
    unittest.main()
