"""CompressAI's own tests, stock and with scalecodec patched in: `python tests/run_compressai_suite.py [SDIST]`.

Takes the source distribution of 1.2.8 from the package index, or from the path given, and runs what of its tests can
run without downloads, once as it is and once under `scalecodec.compressai.patch()`. Prints what failed in each run and
where the two differ; the exit status is 1 if they do. Needs what `install_compressai.py` installs.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

VERSION = "1.2.8"
SHA256 = "d90a923694b4b66c3e39bd90316e7f177a620787190ca7550731fc16c1bc7d5e"
ROOT = Path(__file__).parents[1]
FILES = (
    "coder",
    "entropy_models",
    "entropy_models_vbr",
    "eval_model_video",
    "init",
    "layers",
    "models",
    "ops",
    "scripting",
    "transforms",
    "update_model",
    "waseda",
    "zoo",
)
LEFT_OUT = {
    "datasets, datasets_video, eval_model, train": "need the real torchvision",
    "bench_codec, codec, find_close, plot": "need pictures and expected values that the distribution does not carry",
    "bench_codec_video": "needs ffmpeg, codes nothing of its own",
}
DESELECTED = ("TestEntropyBottleneck::test_compiling",)  # torch.compile of the likelihoods: a minute, and no coder

OFFLINE = """
import socket

def no_network(*args, **kwargs):
    raise socket.gaierror("offline")

socket.getaddrinfo = no_network  # weights come from the network: the same failure everywhere, at once
"""
PATCHED = """
import scalecodec.compressai

def pytest_configure():
    scalecodec.compressai.patch()

def pytest_sessionfinish():
    from compressai.ans import RansDecoder, RansEncoder

    for coder in (RansDecoder, RansEncoder):
        assert coder.__module__.startswith("scalecodec"), coder
"""


def say(text=""):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def download(folder):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "compressai"]
    subprocess.run([*command, "--dest", str(folder), f"compressai=={VERSION}"], check=True)
    return next(folder.glob("*.tar.gz"))


def unpack(archive, folder):
    """Tests and the examples that they run; not the package, which would hide the installed one."""
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"{archive} is not the source distribution of compressai {VERSION}")
    top = f"compressai-{VERSION}"
    wanted = (f"{top}/tests/", f"{top}/examples/")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, [m for m in tar.getmembers() if m.name.startswith(wanted)], filter="data")
    return folder / top


def run(tree, plugins):
    """{test: its failure's first line, "" if it passed, or "skipped"}."""
    report = tree / "report.xml"
    report.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tree), str(ROOT)]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # whatever else is installed here
        "TORCH_HOME": str(tree / "torch_home"),  # no weights of earlier downloads
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider"]
    command += ["-c", os.devnull, "--rootdir", str(tree), f"--junitxml={report}"]
    command += [part for plugin in plugins for part in ("-p", plugin)]
    command += [part for name in DESELECTED for part in ("--deselect", f"tests/test_entropy_models.py::{name}")]
    command += [f"tests/test_{name}.py" for name in FILES]
    result = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, timeout=1200, check=False
    )
    if result.returncode not in (0, 1) or not report.exists():  # 1: some tests failed
        sys.exit(f"pytest ended with status {result.returncode}\n{result.stdout[-4000:]}{result.stderr[-4000:]}")
    outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        ends = [child for child in case if child.tag in ("failure", "error", "skipped")]
        reason = "skipped" if ends and ends[0].tag == "skipped" else ends[0].get("message", "") if ends else ""
        outcomes[f"{case.get('classname')}::{case.get('name')}"] = reason.split("\n")[0]
    return outcomes


def describe(name, outcomes, seconds):
    failed = {test: reason for test, reason in outcomes.items() if reason not in ("", "skipped")}
    passed, skipped = (sum(reason == kind for reason in outcomes.values()) for kind in ("", "skipped"))
    say(f"\n{name}: {passed} passed, {len(failed)} failed, {skipped} skipped, {seconds:.0f} s")
    for test, reason in sorted(failed.items()):
        say(f"  {test}: {reason[:100]}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        tree = unpack(Path(sys.argv[1]) if len(sys.argv) > 1 else download(room), room)
        (tree / "offline_plugin.py").write_text(OFFLINE)
        (tree / "patched_plugin.py").write_text(PATCHED)
        for files, reason in LEFT_OUT.items():
            say(f"left out: {files}: {reason}")
        outcomes = {}
        for name, plugins in {"stock": ["offline_plugin"], "patched": ["offline_plugin", "patched_plugin"]}.items():
            start = time.perf_counter()
            outcomes[name] = run(tree, plugins)
            describe(name, outcomes[name], time.perf_counter() - start)
    stock, patched = outcomes.values()
    different = sorted(test for test in {*stock, *patched} if stock.get(test) != patched.get(test))
    say(f"\ndifferent: {len(different)} of {len(stock)}")
    for test in different:
        say(f"  {test}: stock {stock.get(test)!r}, patched {patched.get(test)!r}")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
