#!/usr/bin/env python3
"""Holds every #include against the order of the folders in docs/architecture.md, and LLVM's headers against codegen and jit."""
import pathlib
import re
import sys

# folder -> the folders it may include, itself apart
COMPILER = ["support", "graph", "ops", "eval", "autodiff", "rewrite", "schedule", "codegen", "jit", "pipeline"]
ALLOWED = {
    "compiler/support": [],
    "compiler/graph": ["compiler/support"],
    "compiler/ops": ["compiler/graph"],
    "compiler/eval": ["compiler/ops"],
    "compiler/autodiff": ["compiler/ops"],
    "compiler/rewrite": ["compiler/ops", "compiler/eval"],
    "compiler/schedule": ["compiler/ops"],
    "compiler/codegen": ["compiler/schedule"],
    "compiler/jit": ["compiler/codegen", "runtime/abi"],
    "compiler/pipeline": ["compiler/autodiff", "compiler/rewrite", "compiler/schedule", "compiler/jit"],
    "runtime/abi": [],
    "runtime": ["compiler/support", "runtime/abi"],
    "frontend/syntax": ["compiler/support"],
    "frontend/library": ["compiler/support"],
    "frontend/sema": ["frontend/syntax", "frontend/library", "compiler/ops"],
    "frontend/cli": ["frontend/sema", "compiler/pipeline", "compiler/eval", "runtime"],
}


def reachable(folder, seen=None):
    """A folder may include whatever those below it may."""
    seen = set() if seen is None else seen
    for below in ALLOWED[folder]:
        if below not in seen:
            seen.add(below)
            reachable(below, seen)
    return seen


def folder_of(path):
    parts = path.split("/")
    for n in (2, 1):
        if "/".join(parts[:n]) in ALLOWED:
            return "/".join(parts[:n])
    return None


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    problems, files = [], 0
    for top in ("compiler", "runtime", "frontend"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in (".h", ".cpp", ".def"):
                continue
            files += 1
            name = str(path.relative_to(root))
            folder = folder_of(name)
            if folder is None:
                problems.append(f"{name}: stands in no known folder")
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
                if not found:
                    continue
                target = found.group(2)
                if target.startswith(("llvm/", "llvm-c/")) and folder not in ("compiler/codegen", "compiler/jit"):
                    problems.append(f"{name}:{number}: only codegen and jit include LLVM")
                other = folder_of(target) if found.group(1) == '"' else None
                if other and other != folder and other not in reachable(folder):
                    problems.append(f"{name}:{number}: {folder} may not include {other}")
    print("\n".join(problems) if problems else f"{files} files keep to the order of the folders")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
