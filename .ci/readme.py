"""Print the command of the README that follows a title, as it stands.

    python readme.py README.md "Install and run"

The title is a heading, or a line of text that ends in a colon. The command is the first code block after it, before the
next heading.
"""

import sys


def command(text: str, title: str) -> str:
    """Return the first code block after a title.

    Args:
        text: The README.
        title: The heading or the line of text, without its marks.

    Raises:
        SystemExit: There is no such title, or no code block after it.
    """
    lines = iter(text.splitlines())
    if not any(line.strip("#: ") == title for line in lines):
        raise SystemExit(f"README: no line '{title}': restore it, or change the title in .ci/run")
    block: list[str] = []
    inside = False
    for line in lines:
        if line.startswith("```"):
            if inside:
                break
            inside = True
        elif inside:
            block.append(line)
        elif line.startswith("#"):
            break
    if not "".join(block).strip():
        raise SystemExit(f"README: no code block follows '{title}': put its command there")
    return "\n".join(block)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(command(file.read(), sys.argv[2]))
