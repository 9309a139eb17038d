"""Prints the executables that a cargo build made: `built.py MESSAGES NAME` of that name, `built.py MESSAGES --of FOLDER` of the package there.

MESSAGES is the output of `cargo ... --message-format=json`.
"""

import json
import sys
from pathlib import Path


def main():
    messages, *wanted = sys.argv[1:]
    for line in Path(messages).read_text().splitlines():
        built = json.loads(line)
        if not built.get("executable"):
            continue
        package = Path(built["manifest_path"]).parent.as_posix()
        if built["target"]["name"] == wanted[0] or (wanted[0] == "--of" and package.endswith(wanted[1])):
            print(built["executable"])


if __name__ == "__main__":
    main()
