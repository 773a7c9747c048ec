import subprocess
import sys

CODE = """
import operant.algo.tabular as before
from operant.algo.tabular import q_learning
import operant.tabular
print(before is operant.tabular, q_learning is operant.tabular.q_learning)
"""


def test_the_name_of_before_still_works():
    done = subprocess.run([sys.executable, "-W", "default", "-c", CODE], capture_output=True, text=True)
    assert done.stdout == "True True\n", done.stderr
    assert "operant.algo.tabular is operant.tabular now" in done.stderr
