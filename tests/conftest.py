"""Every test runs without the network, and on one thread: parallel workers must not fight over cores."""

import importlib
import os
import shutil
import socket
import time
from pathlib import Path

import pytest
from hypothesis import settings

# Before torch or a hub client is imported, and inherited by every command that a test starts.
os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="disabled", MPLBACKEND="Agg", OMP_NUM_THREADS="1")

settings.register_profile("dupl", deadline=None, derandomize=True, database=None)
settings.load_profile("dupl")

if os.environ.get("DUPL_NO_MISSING"):  # all packages are said to be installed: one that is missing fails its tests
    pytest.importorskip = lambda name, *_, **__: importlib.import_module(name)


def pytest_terminal_summary(terminalreporter):
    """Write the ids of the skipped tests and modules to the file that DUPL_SKIPPED names, one per line."""
    if name := os.environ.get("DUPL_SKIPPED"):
        skipped = sorted({report.nodeid for report in terminalreporter.stats.get("skipped", [])})
        Path(name).write_text("".join(f"{one}\n" for one in skipped), encoding="utf-8")


@pytest.fixture(autouse=True, scope="session")
def own_places(tmp_path_factory):
    """No test reads the user's files or writes into the user's caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUPL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("DUPL_CONFIG", str(tmp_path_factory.mktemp("config") / "config.ini"))
        for name in ("DUPL_DATA", "DUPL_WEIGHTS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Only this machine may be reached."""
    connect = socket.socket.connect

    def guarded(self, address):
        local = self.family == socket.AF_UNIX or address[0].startswith(("localhost", "127.", "::1"))
        if not local:
            raise RuntimeError(f"a test tried to reach {address[0]}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, where there is one."""
    api = pytest.importorskip("playwright.sync_api", reason="pages are not tried in a browser: no playwright")
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"pages are not tried in a browser: none of {', '.join(BROWSERS)} is installed")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def until():
    """Wait until an expression holds on a page. Playwright's own wait evaluates strings, which the pages forbid."""

    def wait(tab, expression: str, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not tab.evaluate(expression):
            assert time.monotonic() < end, expression
            tab.wait_for_timeout(100)

    return wait


TINY = """A model of 60,000 weights on synthetic scenes: every component starts within the first iterations."""
TINY_RECIPE = f'''
"""{TINY}"""

_base_ = [{str(Path(__file__).parents[1] / "experiments" / "demo" / "toy.py")!r}]
model = dict(
    network=dict(
        backbone=dict(options=dict(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)),
        head=dict(channels=16, dilation=1),
    ),
    noise_filter=dict(fit_on="foreground", start=6, min_pixels=20, eta=0.0, gamma=0.5),
    consistency=dict(confidence=0.2, start=6),
    segmentation=dict(start=3),
    patch_contrast=dict(start=1),
    refine=dict(dilations=[1, 2], iterations=2),
)
data = dict(
    train=dict(size=32, count=24), val=dict(size=32, count=8), augment=dict(crop=32, scale=[0.8, 1.3], jitter=0.8)
)
schedule = dict(iterations=24, batch_size=4, images_per_loss=4, warmup=3)
evaluation = dict(interval=8, size=32, batch_size=4)
runtime = dict(log_interval=2, checkpoint_interval=5, device="cpu", threads=1)
'''


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> str:
    """File of a recipe that trains 24 iterations of batch 4 in two seconds, on the CPU."""
    path = tmp_path_factory.mktemp("recipes") / "tiny.py"
    path.write_text(TINY_RECIPE.lstrip(), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def paint():
    """A function that paints six photos of a bright square (cat) or a dark one (dog), with tags and masks."""
    import numpy as np
    from PIL import Image

    def paint(root: Path) -> Path:
        for name in ("images", "masks"):
            (root / name).mkdir(parents=True)
        rows = ["image,tags,split"]
        for i in range(6):
            label = 1 + i % 2
            photo = np.random.default_rng(i).integers(90, 110, (32, 32, 3)).astype(np.uint8)
            photo[8:24, 8:24] = 230 if label == 1 else 20
            mask = np.zeros((32, 32), np.uint8)
            mask[8:24, 8:24] = label
            Image.fromarray(photo).save(root / "images" / f"{i}.png")
            Image.fromarray(mask).save(root / "masks" / f"{i}.png")
            rows.append(f"{i}.png,{('cat', 'dog')[label - 1]},{'train' if i < 4 else 'val'}")
        (root / "tags.csv").write_text("\n".join(rows) + "\n")
        return root

    return paint


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory) -> Path:
    """Folder of the finished run of ``tiny``."""
    from dupl.cli import main

    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert main(["train", tiny, "--work-dir", str(folder)]) == 0
    return folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Let yapf, which mmengine imports, write its shared cache before there are several workers.

    After an installation its first import writes a file of the user's cache, and another process that reads it at that
    moment fails with "EOFError: Ran out of input".
    """
    importlib.import_module("yapf")
