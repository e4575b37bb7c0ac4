"""Check the installed packages: versions, and whether they can be imported."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

from reslab.checkup.guard import import_problem
from reslab.checkup.result import FAULT, NOTE, OK, Finding
from reslab.errors import LONGEST_TEXT, shortened
from reslab.version import VERSION, installed_version, source_commit

NO_MEMORY = re.compile(r"failed to map segment|bad_alloc|memory", re.IGNORECASE)
IMPORT_LIMIT = 120  # seconds for an import in another process


class Package(NamedTuple):
    """A package that reslab uses.

    name      in the package index
    module    imported to see that it works; "" if that takes long and nothing that trains imports it
    purpose   what needs it
    install   what pip installs for it if reslab is installed without it; "" if reslab requires it
    prevents  nothing can be trained without it
    """

    name: str
    module: str
    purpose: str
    install: str = ""
    prevents: bool = False


PACKAGES = (
    Package("numpy", "numpy", "everything that computes", prevents=True),
    Package("torch", "torch", "everything that computes", prevents=True),
    Package("pillow", "PIL.Image", "images", prevents=True),
    Package("safetensors", "safetensors.torch", "weights", prevents=True),
    Package("filelock", "filelock", "runs", prevents=True),
    Package("scikit-learn", "", "the data set digits"),
    Package("torchvision", "torchvision", "weights of torchvision, --download"),
    Package("scipy", "", "intervals of claims"),
    Package("cyclopts", "", "the command line"),
    Package("rich", "", "the command line"),
    Package("altair", "", "charts"),
    Package("vl-convert-python", "", "charts"),
    Package("jinja2", "", "pages"),
    Package("pyarrow", "pyarrow.parquet", "data in parquet files", "'reslab[data]'"),
    Package("onnx", "onnx", "export --to onnx", "'reslab[onnx]'"),
    Package("onnxruntime", "onnxruntime", "export --to onnx", "'reslab[onnx]'"),
    Package("huggingface_hub", "huggingface_hub", "hf: names and push_to_hub", "'reslab[hub]'"),
    Package("tensorboard", "", "train --log tensorboard", "'reslab[tensorboard]'"),
    Package("ray", "", "--on ray", "'reslab[ray]'"),
    Package("submitit", "", "--on slurm", "'reslab[slurm]'"),
    Package("timm", "", "timm: names and export --to timm", "timm"),
)


def packages() -> Iterator[Finding]:
    """Yield a finding for reslab, Python, and each package that reslab uses."""
    commit = source_commit()
    yield Finding(
        "reslab",
        OK,
        f"{VERSION}{f', commit {commit}' if commit else ''}",
        values={"version": VERSION, "commit": commit},
    )
    python = platform.python_version()
    yield Finding("python", OK, f"{python} ({platform.python_implementation()})", values={"version": python})
    modules = list[str]()
    for package in PACKAGES:
        finding = _package(package, modules)
        yield finding
        if finding.prevents:  # the others would fail for the same reason, or end the process
            return
        modules += [package.module] if package.prevents else []


def _package(package: Package, before: list[str]) -> Finding:
    """Return the finding for a package; `before` are the modules that every run imports."""
    version = installed_version(package.name)
    values = {"version": version}
    is_tried = package.module and (version is not None or not package.install)
    problem = _import_problem(package, before) if is_tried else ""
    if problem and version is not None:
        remedy = _memory_remedy() if NO_MEMORY.search(problem) else f"install {package.name} again"
        status = NOTE if NO_MEMORY.search(problem) and not package.prevents else FAULT
        text = f"{version} cannot be imported, which is for {package.purpose}: {problem}"
        return Finding(package.name, status, text, remedy, package.prevents, values)
    if version is None and (problem or not package.module or package.install):
        remedy = f"pip install {package.install or package.name}"
        status = NOTE if package.install else FAULT
        return Finding(
            package.name, status, f"not installed; it is for {package.purpose}", remedy, package.prevents, values
        )
    return Finding(package.name, OK, version or "version unknown", values=values)


def _import_problem(package: Package, before: list[str]) -> str:
    """Import a package's module, and return the reason it cannot be imported or "".

    With little address space (ulimit -v) an import may end the process, so another process tries it first; what not
    every run imports is then not imported here, where it would take the space that is measured later.
    """
    from reslab.engines import host

    if host.ADDRESSES in host.memory_limits() and sys.executable:
        code = "; ".join(f"import {name}" for name in (*before, package.module))
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, stdin=subprocess.DEVNULL, timeout=IMPORT_LIMIT
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            return shortened(lines[-1], LONGEST_TEXT) if lines else f"its import ends with status {done.returncode}"
        if not package.prevents:
            return ""
    return import_problem(package.module)


def _memory_remedy() -> str:
    """Return what to do if the system does not load a library's code: memory, or a folder that allows no code."""
    from reslab.engines import host

    size = host.memory_limits().get(host.ADDRESSES, (None, 0))[0]
    if size is not None:
        return f"the limit of {size / 1e9:.1f} GB (ulimit -v) is too small for it: raise it"
    return "install it in a folder whose files may be run (mount option exec)"
