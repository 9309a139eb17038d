#!/usr/bin/env python3
"""Mutation tests of nodes/safety: `scripts/mutants.py [FILE...]` (machine gate core/motion ...; default: all). Each mutant that no test notices is a test
to write, or stands with its reason in .cargo/mutants.toml.

node and realtime need the bus and go by `--bus`; all the rest stands in the copy without it.

The mutants are cargo-mutants' own (`cargo mutants --list`). scripts/mutants puts all of them into one build of the copy that kernel.sh makes, each behind
a switch; what does not compile is taken out again. Each test runs once by itself, to see which mutants it reaches; then, mutant by mutant, the tests that
reach it run until one fails. What cannot be switched (constants, opaque types) goes to cargo-mutants itself (`--left`).

Results are kept in target/mutants; a run that was broken off goes on where it was.
"""

import argparse
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "target/mutants"
SRC = "nodes/safety/src"
MARKS = re.compile(r"/\*(?:(<)(\d+)|(\{)([\d ]+)|(>)|(\}))\*/")
# Errors that an operator for a type that has none makes; cargo-mutants would meet the same.
NO_SUCH_OPERATOR = {"E0277", "E0369", "E0368", "E0600", "E0614", "E0067"}


def say(*words):
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


def run(*command, cwd=ROOT, **more):
    return subprocess.run(command, cwd=cwd, check=True, text=True, **more)


def build(tree, listed, bus):
    """Rewrites the copy and builds it, taking out what does not compile: (executables, switched rows, {name: why left over}, unviable names)."""
    run(*cargo("build", "--quiet", "--manifest-path", ROOT / "scripts/mutants/Cargo.toml", "--target-dir", OUT / "tool"))
    (OUT / "list.json").write_text(json.dumps(listed))
    state = OUT / "refused.json"
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in [OUT / "list.json", *sorted((tree / "nodes/safety").rglob("*.rs"))])).hexdigest()
    refused = json.loads(state.read_text()) if state.exists() else {}
    refused = refused if refused.get("of") == digest else {"of": digest, "unviable": [], "left": {}}
    genres = {m["name"]: m["genre"] for m in listed}
    # The shell needs the whole workspace: its dependencies are built with other features otherwise.
    test = (["test", "--release", "--workspace", "--lib", "--test", "on_the_bus", "--test", "shadow", "--test", "wire_attacks"] if bus
            else ["test", "-p", "proctor-safety", "--lib", "--tests"])
    env = {"CARGO_TARGET_DIR": str(ROOT / "target/whole/target")} if bus else {"CARGO_PROFILE_DEV_OPT_LEVEL": "2"}
    sources = OUT / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(tree / SRC, sources / SRC)
    lib = (tree / SRC / "lib.rs").read_text()
    for attempt in range(1, 30):
        (OUT / "refused").write_text(json.dumps([*refused["unviable"], *refused["left"]]))
        run(OUT / "tool/debug/mutants", OUT / "list.json", OUT / "refused", sources, tree, OUT / "sites.json")
        (tree / SRC / "mutants.rs").write_text((ROOT / "scripts/mutants/switch.rs").read_text())
        (tree / SRC / "lib.rs").write_text(lib + "\nmod mutants;\n")
        began = time.time()
        done = subprocess.run(cargo(*test, "--no-run", "--message-format=json"), cwd=tree, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              env=os.environ | env)
        messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        sites = json.loads((OUT / "sites.json").read_text())
        if done.returncode == 0:
            say(f"built in {time.time() - began:.0f} s, the {attempt}. try: {len(sites['switched'])} switched")
            executables = [m["executable"] for m in messages if m["reason"] == "compiler-artifact" and m["executable"] and m["profile"]["test"]
                           and "/nodes/safety" in m["manifest_path"]]
            return executables, sites["switched"], refused["left"] | sites["left"], refused["unviable"]
        names = {row["number"]: row["name"] for row in sites["switched"]}
        found = 0
        for message in (m["message"] for m in messages if m["reason"] == "compiler-message" and m["message"]["level"] == "error"):
            for span in (s for s in message["spans"] if s["is_primary"]):
                code = (message["code"] or {}).get("code", "")
                found += refuse(refused, innermost(tree / span["file_name"], span["byte_start"]), names, genres, code, message["message"])
        say(f"build {attempt}: {found} taken out ({time.time() - began:.0f} s)")
        state.write_text(json.dumps(refused))
        if not found:
            sys.exit("\n".join(m["message"]["rendered"] for m in messages if m["reason"] == "compiler-message" and m["message"]["level"] == "error")
                     or "the copy does not build")
    sys.exit("the copy still does not build")


def whole():
    """A copy of all that git knows of, with its shell on the bus."""
    tree = ROOT / "target/whole"
    # Cargo reads the configuration above the copy too, and would give every flag twice.
    names = [n for n in run("git", "ls-files", stdout=subprocess.PIPE).stdout.splitlines() if (ROOT / n).is_file() and n != ".cargo/config.toml"]
    for name in names:
        here, there = ROOT / name, tree / name
        if not there.exists() or there.read_bytes() != here.read_bytes():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(here, there)
    return tree


def cargo(*words):
    return [os.environ.get("CARGO", "cargo"), *map(str, words)]


def innermost(path, byte):
    """The alternative or site that this byte of a rewritten file is in: ("<" or "{", numbers), or None."""
    stack = []
    for m in MARKS.finditer(path.read_bytes()[:byte].decode()):
        if m[1] or m[3]:
            stack.append((m[1] or m[3], [int(n) for n in (m[2] or m[4]).split()]))
        else:
            stack.pop()
    return stack[-1] if stack else None


def refuse(refused, place, names, genres, code, text):
    """Takes out the mutant that does not compile, or leaves a site's mutants to cargo-mutants; how many are new."""
    if place is None:
        return 0
    kind, numbers = place
    new = 0
    for name in (names[n] for n in numbers if n in names):
        if name in refused["unviable"] or name in refused["left"]:
            continue
        new += 1
        if kind == "<" and (code in NO_SUCH_OPERATOR or genres[name] == "FnValue"):
            refused["unviable"].append(name)
        else:
            refused["left"][name] = f"{code} {text}".strip()
    return new


class Tests:
    """Every test, with what it costs (s of processor time) and which sites it reaches."""

    def __init__(self, tree, executables, numbers, args):
        self.cwd = tree / "nodes/safety"
        self.all = []
        for exe in executables:
            named = {w: {l[:-6] for l in run(exe, "--list", "--format", "terse", *w.split(), cwd=self.cwd, capture_output=True).stdout.splitlines()
                         if l.endswith(": test")} for w in ("", "--ignored")}
            tests = sorted(t for t in named[""] - named["--ignored"] if re.search(args.test, t))
            self.all += [{"exe": exe, "name": name, "abort": True} for name in tests]
        say(f"survey of {len(self.all)} tests")
        parallel(self.all, lambda i, t: self.survey(t, numbers, math.ceil(args.slowest) + 10))
        for t in sorted(self.all, key=lambda t: -t["seconds"])[:12]:
            say(f"  {t['seconds']:.2f} s  {Path(t['exe']).name.rsplit('-', 1)[0]} {t['name']}")
        say(f"survey: {sum(t['seconds'] for t in self.all):.0f} s of processor time in all")

    def survey(self, test, numbers, most):
        reached = OUT / f"reached.{threading.get_ident()}"
        for test["abort"] in (True, False):
            reached.write_bytes(bytes(numbers + 1))
            code, test["seconds"], _ = self.run([test], {"MUTANTS_REACHED": str(reached)}, most)
            if code in (0, -24, -9):
                break
        if code not in (0, -24, -9):
            sys.exit(f"{test['name']} fails without any mutant: {code}")
        test["reaches"] = reached.read_bytes()
        reached.unlink()

    def run(self, tests, env, seconds):
        """Of one executable, all of which abort or do not: (exit status, processor time, the test that ended it)."""
        env = os.environ | env | {"MUTANTS_SECONDS": str(seconds)} | ({"MUTANTS_ABORT": "1"} if tests[0]["abort"] else {})
        with subprocess.Popen([tests[0]["exe"], "--exact", "--test-threads=1", *(t["name"] for t in tests)], cwd=self.cwd, env=env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            clock = threading.Timer(60 + 60 * seconds, child.kill)  # for what sleeps; a starved test is no failure
            clock.start()
            out = child.stdout.read()
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            clock.cancel()
        ended = None
        if child.returncode:
            passed = set(re.findall(r"^test (\S+) .*\.\.\. ok$", out, re.M))
            ended = next((t for t in sorted(tests, key=lambda t: t["name"]) if t["name"] not in passed), tests[0])
        return child.returncode, usage.ru_utime + usage.ru_stime, ended

    def try_on(self, mutant, tests, kills):
        """Runs the tests, the likeliest and cheapest first, until one fails: a result's fields."""
        began, ran = time.time(), 0
        tests = sorted(tests, key=lambda t: t["seconds"] / (1 + kills[t["name"]]))
        while tests:
            first, batch, cost = tests[0], [], 0.0
            for t in tests:
                if (t["exe"], t["abort"]) == (first["exe"], first["abort"]) and (not batch or cost + t["seconds"] < 0.5) and t["seconds"] <= 4 * first["seconds"] + 0.05:
                    batch.append(t)
                    cost += t["seconds"]
            code, _, ended = self.run(batch, {"MUTANT": str(mutant["number"])}, math.ceil(5 * cost) + 2)
            ran += len(batch)
            if code:
                kills[ended["name"]] += 1
                return {"result": "timeout" if code in (-24, -9) else "caught", "by": ended["name"], "ran": ran, "seconds": round(time.time() - began, 2)}
            tests = [t for t in tests if t not in batch]
        return {"result": "survived", "ran": ran, "seconds": round(time.time() - began, 2)}


def workers():
    return os.cpu_count() or 1


def parallel(items, work):
    """`work(index, item)` for each, on all processors; the first failure ends it."""
    queue, lock, failed = iter(list(enumerate(items))), threading.Lock(), []

    def loop():
        while not failed:
            with lock:
                i, item = next(queue, (None, None))
            if i is None:
                return
            try:
                work(i, item)
            except BaseException as e:  # noqa: BLE001 - handed on below
                say(f"failed: {e}")
                failed.append(e)
    pool = [threading.Thread(target=loop, daemon=True) for _ in range(workers())]
    for t in pool:
        t.start()
    for t in pool:
        t.join()
    if failed:
        raise failed[0]


def passes(tests, rows, results, file, args):
    """First with the quick tests, then what survives with slower ones."""
    kills, lock = defaultdict(Counter), threading.Lock()
    for least, most in itertools.pairwise((0.0, 0.3, 2.0, args.slowest)):
        todo = [r for r in rows if results.get(r["name"], {}).get("upto", -1.0) < most and results.get(r["name"], {}).get("result", "survived") == "survived"]
        say(f"tests of {least} to {most} s: {len(todo)} mutants")
        began, done = time.time(), Counter()

        def one(i, row, least=least, most=most, done=done, began=began, todo=todo):
            before = results.get(row["name"], {})
            reaching = [t for t in tests.all if t["reaches"][row["site"]]]
            chosen = [t for t in reaching if before.get("upto", -1.0) < t["seconds"] <= most]
            found = tests.try_on(row, chosen, kills[row["file"]]) if reaching else {"result": "not reached", "ran": 0, "seconds": 0}
            found["ran"] += before.get("ran", 0)
            found |= {"name": row["name"], "file": row["file"], "reaching": len(reaching), "upto": most}
            with lock:
                results[row["name"]] = found
                file.write(json.dumps(found) + "\n")
                file.flush()
                done[found["result"]] += 1
                if sum(done.values()) % 100 == 0:
                    say(f"{sum(done.values())} of {len(todo)} in {time.time() - began:.0f} s: {dict(done)}")
        parallel(todo, one)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", help="machine, gate, core/motion ...")
    parser.add_argument("--re", default="", help="only the mutants whose names this matches")
    parser.add_argument("--test", default="", help="only the tests whose names this matches")
    parser.add_argument("--slowest", type=float, default=15.0, help="leave out tests that take longer, s of processor time")
    parser.add_argument("--bus", action="store_true", help="node and realtime, with the tests on the bus; builds the whole workspace")
    parser.add_argument("--left", action="store_true", help="only print arguments for cargo-mutants: what the last run left to it")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    wanted = {f"{SRC}/{f}.rs" for f in args.files}
    if args.left:
        names = [n for n in json.loads((OUT / "report.json").read_text())["left"] if not wanted or n.split(":")[0] in wanted]
        for file in sorted({n.split(":")[0] for n in names}):
            print("-f", file, sep="\n")
        for name in names:
            print("--re", "^" + re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", name) + "$", sep="\n")
        return 0
    tree = whole() if args.bus else Path(run(ROOT / "scripts/kernel.sh", stdout=subprocess.PIPE).stdout.strip())
    listed = json.loads(run(*cargo("mutants", "-p", "proctor-safety", "--list", "--json"), cwd=tree, stdout=subprocess.PIPE).stdout)
    # cargo-mutants itself spares no deleted field of a struct.
    spared = [re.compile(e) for e in tomllib.loads((tree / ".cargo/mutants.toml").read_text()).get("exclude_re", [])]
    shell = {f"{SRC}/node.rs", f"{SRC}/realtime.rs"}
    listed = [m for m in listed if not any(e.search(m["name"]) for e in spared) and (m["file"] in wanted if wanted else (m["file"] in shell) == args.bus)]
    if not listed:
        sys.exit(f"no mutants in {', '.join(sorted(wanted)) or SRC}")
    for m in listed:
        m.pop("diff", None)
    executables, rows, left, unviable = build(tree, listed, args.bus)
    state = hashlib.sha256(json.dumps([rows, args.test]).encode())
    for executable in sorted(executables):
        state.update(Path(executable).read_bytes())
    log = OUT / f"results-{state.hexdigest()[:12]}.jsonl"
    results = {}
    if log.exists():
        results = {r["name"]: r for r in map(json.loads, log.read_text().splitlines())}
    tests = Tests(tree, executables, max(r["number"] for r in rows), args)
    chosen = [r for r in rows if re.search(args.re, r["name"])]
    skipped = [t["name"] for t in tests.all if t["seconds"] > args.slowest]
    if skipped:
        say(f"not run, slower than {args.slowest:.0f} s: {', '.join(skipped)}")
    try:
        with log.open("a") as file:
            passes(tests, chosen, results, file, args)
    finally:
        report(listed, chosen, results, left, unviable, skipped, args.bus)
    return 1 if any(results[r["name"]]["result"] in ("survived", "not reached") for r in chosen) else 0


def report(listed, rows, results, left, unviable, skipped, bus):
    """A readable list per file, target/mutants/report.json (report-bus.json of the shell), and one line of JSON."""
    of = lambda name: name.split(":")[0]  # noqa: E731
    per = defaultdict(Counter)
    for name in unviable:
        per[of(name)]["unviable"] += 1
    for name in left:
        per[of(name)]["left"] += 1
    survivors = []
    for r in rows:
        found = results.get(r["name"], {"result": "untested"})
        per[r["file"]][found["result"]] += 1
        if found["result"] in ("survived", "not reached"):
            survivors.append(found)
    total = Counter()
    for f in sorted(per):
        total.update(per[f])
        print(f"\n{f}: " + ", ".join(f"{n} {what}" for what, n in sorted(per[f].items())))
        for s in (s for s in survivors if s["file"] == f):
            print(f"  {s['name'].removeprefix(SRC + '/')}  [{'not reached' if s['result'] == 'not reached' else str(s['ran']) + ' tests of ' + str(s['reaching'])}]")
    print("\nleft to cargo-mutants:")
    for name, why in sorted(left.items()):
        print(f"  {name.removeprefix(SRC + '/')}  [{why.splitlines()[0]}]")
    (OUT / ("report-bus.json" if bus else "report.json")).write_text(json.dumps({"per_file": per, "survivors": survivors, "left": left, "unviable": unviable, "tests_not_run": skipped}))
    keys = ("caught", "timeout", "unviable", "survived", "not reached", "left", "untested")
    print(json.dumps({"mutants": len(listed)} | {k.replace(" ", "_"): total[k] for k in keys}))


if __name__ == "__main__":
    sys.exit(main())
