"""How repositories are set up: signed commits, protected branches, submodules, LFS, sparse checkouts."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from obstacles import ask, back, commit, daemon, landed, waits, write
from queueing import configure, drive, drive_until, queue
from sacred import picture
from support import git

from coord.service import keepup, worktrees
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

As = Callable[..., Coord]


@pytest.fixture
def place(repo: Path, coord_for: As) -> Path:
    """Backend's worktree."""
    return Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)


# ---- signed commits, protected branches ----


@pytest.fixture
def key(repo: Path, tmp_path: Path) -> Path:
    """A key of ssh without a passphrase, with which commits are to be signed; git knows it as the owner's."""
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    (tmp_path / "signers").write_text(f"owner@example.com {path.with_suffix('.pub').read_text()}")
    for name, value in {
        "gpg.format": "ssh",
        "user.signingKey": str(path),
        "gpg.ssh.allowedSignersFile": str(tmp_path / "signers"),
        "commit.gpgSign": "true",
    }.items():
        git(repo, "config", name, value)
    return path


def test_where_commits_are_signed_merges_are_and_work_keeps_its_signature(
    repo: Path, coord_for: As, place: Path, key: Path
) -> None:
    configure(repo, "test: 'git verify-commit HEAD && git verify-commit HEAD^2'")
    write(place, "new.txt", "new\n")
    own = commit(place)
    landed(repo, coord_for)
    git(repo, "verify-commit", "main")
    git(repo, "verify-commit", own)
    assert git(repo, "log", "-1", "--format=%an|%cn|%G?|%P", "main").startswith("backend|Owner|G|")


def test_a_merge_that_cannot_be_signed_waits(repo: Path, coord_for: As, place: Path, key: Path) -> None:
    configure(repo, "test: 'true'")
    write(place, "new.txt", "new\n")
    commit(place)
    ask(coord_for)
    key.rename(key.with_name("away"))
    waits(repo, coord_for, "commit.gpgSign is set, and a merge cannot be signed")
    configuration = repo / ".coord.yaml"
    configuration.write_text(configuration.read_text().replace("test: 'true'", "test: 'true', sign: never"))
    git(repo, "-c", "commit.gpgSign=false", "commit", "-qam", "unsigned")
    daemon(coord_for)
    assert not queue(coord_for("owner"))
    assert git(repo, "log", "-1", "--format=%cn|%G?", "main") == "coord|N"


PROTECTS = """\
#!/bin/sh
test "$1" = prepared || exit 0
while read -r old new ref; do
    test "$ref" != refs/heads/main || { echo "main is frozen until Monday" >&2; exit 1; }
done
"""


@pytest.mark.parametrize("home", ["main", "elsewhere"])
@pytest.mark.parametrize("gated", ["test: 'true'", "ungated: allow"])
def test_a_branch_that_a_hook_protects_is_not_moved(
    repo: Path, coord_for: As, place: Path, home: str, gated: str
) -> None:
    configure(repo, gated)
    write(place, "new.txt", "new\n")
    commit(place)
    ask(coord_for)
    folder = ".git/hooks"
    if home != "main":
        git(repo, "switch", "-qc", home)
        folder = ".git/hooks of mine"
        git(repo, "config", "core.hooksPath", folder)
    hook = write(repo, f"{folder}/reference-transaction", PROTECTS)
    hook.chmod(0o755)
    waits(repo, coord_for, "refs/heads/main is protected: the hook reference-transaction refuses: main is frozen")
    hook.unlink()
    daemon(coord_for)
    assert not queue(coord_for("owner")) and git(repo, "show", "main:new.txt") == "new"


def test_a_hook_that_protects_a_branch_only_when_it_is_moved_is_believed_too(
    repo: Path, coord_for: As, place: Path
) -> None:
    """It lets the question pass, and refuses then: the request goes back into the queue, and main stays."""
    configure(repo, "test: 'true'")
    write(place, "new.txt", "new\n")
    commit(place)
    ask(coord_for)
    tip = git(repo, "rev-parse", "main")
    asked = repo.parent / "asked"
    second = f"if test -e {asked}; then rm {asked}; echo no >&2; exit 1; else touch {asked}; fi"
    once = f'#!/bin/sh\ntest "$1" = prepared || exit 0\nwhile read -r o n ref; do case $ref in *main) {second};; esac; done\n'
    write(repo, ".git/hooks/reference-transaction", once).chmod(0o755)
    before = picture(repo)
    landing = Landing(coord_for("owner"))
    drive_until(landing, lambda: any("protected" in one.result for one in queue(landing.coord)))
    drive(landing)  # it is not tried again at once
    drive_until(landing, lambda: tried(landing.coord) > 2)
    drive(landing)
    assert picture(repo) == before and git(repo, "rev-parse", "main") == tip
    told = [path.read_text().partition("---\n")[2] for path in (repo / "inbox/owner").glob("*.md")]
    reasons = [line for text in told for line in text.splitlines() if "is protected" in line and "subject" not in line]
    assert reasons and len(reasons) == len(set(reasons))  # before it is moved, and in a checkout as it is moved
    (repo / ".git/hooks/reference-transaction").unlink()
    drive_until(landing, lambda: not queue(landing.coord))
    assert git(repo, "show", "main:new.txt") == "new"


def tried(coord: Coord) -> int:
    """How often the base was about to move."""
    coord.committer.settle()
    return git(coord.home, "log", "--format=%s", "coord/ledger").count("(landing)")


# ---- submodules ----


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A repository with two commits, the first of which is `old`."""
    with (tmp_path / ".home/.gitconfig").open("a") as file:
        file.write('[protocol "file"]\n\tallow = always\n')
    made = tmp_path / "library"
    made.mkdir()
    git(made, "init", "-q")
    for text in ("1\n", "2\n"):
        write(made, "lib.txt", text)
        commit(made)
    git(made, "tag", "old", "main~1")
    return made


def with_submodule(repo: Path, library: Path, place: Path) -> None:
    """Main has the library's old commit, checked out at home; in the worktree it is brought to the new one."""
    git(repo, "submodule", "--quiet", "add", str(library), "lib")
    git(repo / "lib", "checkout", "-q", "--detach", "old")
    commit(repo, "library")
    git(place, "merge", "-q", "main")
    git(place, "update-index", "--cacheinfo", f"160000,{git(library, 'rev-parse', 'main')},lib")
    git(place, "commit", "-qm", "newer library")


def test_a_submodule_that_is_added_and_one_that_goes(repo: Path, coord_for: As, place: Path, library: Path) -> None:
    configure(repo, "test: 'true'")
    git(place, "submodule", "--quiet", "add", str(library), "lib")
    commit(place)
    landed(repo, coord_for)
    assert not list((repo / "lib").iterdir())
    git(repo, "submodule", "--quiet", "update", "--init")
    git(place, "rm", "-q", "lib")
    git(place, "commit", "-qm", "without")
    ask(coord_for)
    daemon(coord_for)
    assert not queue(coord_for("owner"))
    assert git(repo, "status", "--porcelain") == "?? lib/" and (repo / "lib/lib.txt").read_text() == "2\n"


def test_a_submodule_follows_with_the_checkout(repo: Path, coord_for: As, place: Path, library: Path) -> None:
    configure(
        repo, "test: 'git submodule --quiet update --init && grep -q 2 lib/lib.txt && ! ls lib/left && > lib/left'"
    )
    with_submodule(repo, library, place)
    ask(coord_for)
    daemon(coord_for)
    assert not queue(coord_for("owner")), queue(coord_for("owner"))
    assert git(repo, "status", "--porcelain", "--ignore-submodules=none") == ""
    assert (repo / "lib/lib.txt").read_text() == "2\n"
    write(place, "more.txt", "a test that has a submodule runs in the same place again\n")
    commit(place)
    ask(coord_for)
    daemon(coord_for)
    assert not queue(coord_for("owner")) and (repo / "more.txt").exists()


STUCK = {
    "edited": "in the submodule lib: uncommitted changes in lib.txt",
    "in the way": "in the submodule lib: files that git does not track are in the way: new.txt",
    "on a branch": "in the submodule lib: it was moved by hand",
    "without the commit": "in the submodule lib: it has no commit",
    "elsewhere": "uncommitted changes in lib",
}


@pytest.mark.parametrize("state", STUCK)
def test_a_submodule_that_cannot_follow_holds_up_the_merge(
    repo: Path, coord_for: As, place: Path, library: Path, state: str
) -> None:
    configure(repo, "test: 'true'")
    if state == "in the way":
        write(library, "new.txt", "new\n")
        commit(library)
    with_submodule(repo, library, place)
    match state:
        case "edited":
            write(repo, "lib/lib.txt", "mine\n")
        case "in the way":
            write(repo, "lib/new.txt", "mine\n")
        case "on a branch":
            git(repo / "lib", "switch", "-qc", "mine")
        case "without the commit":
            write(library, "newer.txt", "x\n")
            git(place, "update-index", "--cacheinfo", f"160000,{commit(library)},lib")
            git(place, "commit", "-qm", "newest library")
        case "elsewhere":
            git(repo / "lib", "checkout", "-q", "--detach", "main")
    ask(coord_for)
    waits(repo, coord_for, STUCK[state])


def test_a_submodule_that_both_moved_apart_goes_back(repo: Path, coord_for: As, place: Path, library: Path) -> None:
    configure(repo, "test: 'true'")
    with_submodule(repo, library, place)
    git(library, "checkout", "-q", "-b", "side", "old")
    write(library, "side.txt", "x\n")
    git(repo / "lib", "fetch", "-q", "origin", "main", commit(library))
    git(repo / "lib", "checkout", "-q", "--detach", git(library, "rev-parse", "side"))
    commit(repo, "another library")
    assert "it conflicts in lib" in back(repo, coord_for)


# ---- large files behind a filter, as LFS sets it up ----

# Keeps content by its hash beside the repository, and pointers in it, with the attributes and settings of git-lfs.
DRIVER = """\
#!{python}
import hashlib, pathlib, sys
store, data = pathlib.Path({store!r}), sys.stdin.buffer.read()
if sys.argv[1] == "clean":
    oid = hashlib.sha256(data).hexdigest()
    (store / oid).write_bytes(data)
    words = f"version https://git-lfs.github.com/spec/v1\\noid sha256:{{oid}}\\nsize {{len(data)}}\\n"
    sys.stdout.buffer.write(words.encode())
else:
    sys.stdout.buffer.write((store / data.split()[3].decode().partition(":")[2]).read_bytes())
"""


@pytest.fixture
def driver(repo: Path, tmp_path: Path) -> Path:
    (tmp_path / "large").mkdir()
    path = write(tmp_path, "lfs", DRIVER.format(python=sys.executable, store=str(tmp_path / "large")))
    path.chmod(0o755)
    for name, value in {"clean": f"{path} clean %f", "smudge": f"{path} smudge %f", "required": "true"}.items():
        git(repo, "config", f"filter.lfs.{name}", value)
    return path


def large(place: Path) -> bytes:
    """Commit a large file, and the attribute that makes it one."""
    content = os.urandom(1 << 20)
    write(place, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    write(place, "big.bin", content)
    commit(place)
    assert git(place, "show", "HEAD:big.bin").startswith("version https://git-lfs")
    return content


def test_large_files_are_pointers_in_git_and_whole_in_checkouts(
    repo: Path, coord_for: As, place: Path, driver: Path
) -> None:
    configure(repo, "test: 'test $(wc -c <big.bin) = 1048576'")
    content = large(place)
    landed(repo, coord_for)
    assert (repo / "big.bin").read_bytes() == content
    write(place, "big.bin", content[::-1])
    commit(place)
    landed(repo, coord_for)
    assert (repo / "big.bin").read_bytes() == content[::-1]


def test_a_large_file_that_both_changed_goes_back(repo: Path, coord_for: As, place: Path, driver: Path) -> None:
    configure(repo, "test: 'true'")
    large(place)
    landed(repo, coord_for)
    write(place, "big.bin", os.urandom(1 << 10))
    commit(place)
    write(repo, "big.bin", os.urandom(1 << 10))
    commit(repo)
    assert "it conflicts in big.bin" in back(repo, coord_for)


@pytest.mark.parametrize("lost", ["the program", "the content"])
def test_a_large_file_that_cannot_be_written_holds_up_the_merge(
    repo: Path, coord_for: As, place: Path, driver: Path, lost: str
) -> None:
    configure(repo, "test: 'true'")
    content = large(place)
    write(place, "before.txt", "written before it, were the checkout to find out half way\n")
    commit(place)
    away = driver if lost == "the program" else driver.with_name("large")
    away.rename(away.with_name("away"))
    ask(coord_for)
    waits(repo, coord_for, "big.bin: smudge filter lfs failed")
    away.with_name("away").rename(away)
    daemon(coord_for)
    assert not queue(coord_for("owner")) and (repo / "big.bin").read_bytes() == content


def test_where_a_filter_cannot_tell_what_was_changed_nothing_is_moved(
    repo: Path, coord_for: As, place: Path, driver: Path
) -> None:
    """At home, where git would have to read the file again, the merge waits; a worktree is left as it is."""
    configure(repo, "test: 'true'")
    large(place)
    landed(repo, coord_for)
    write(place, "new.txt", "new\n")
    commit(place)
    ask(coord_for)
    write(place, "big.bin", os.urandom(1 << 20))
    driver.rename(driver.with_name("away"))
    written = (repo / "big.bin").stat().st_mtime_ns
    os.utime(repo / ".git/index", ns=(written, written))
    waits(repo, coord_for, "what was changed there cannot be told")
    (left,) = keepup.update(coord_for("owner"), ("backend",)).items
    assert left.state == "waits" and "what was changed there cannot be told" in left.why


# ---- sparse checkouts ----


@pytest.mark.parametrize("how", [("--cone",), ("--cone", "--sparse-index"), ("--no-cone",)])
def test_a_sparse_checkout_stays_sparse_and_its_test_sees_all(
    repo: Path, coord_for: As, place: Path, how: tuple[str, ...]
) -> None:
    configure(repo, "test: 'test -f web_app/new.html && test -f apps_script/new.js'")
    git(repo, "sparse-checkout", "set", *how, *(("apps_script",) if "--cone" in how else ("/*", "!/web_app/")))
    write(place, "web_app/new.html", "<p>\n")
    write(place, "apps_script/new.js", "var b;\n")
    write(place, "web_app/index.html", "<p>changed\n")
    commit(place)
    ask(coord_for)
    daemon(coord_for)
    assert not queue(coord_for("owner")), queue(coord_for("owner"))
    assert git(repo, "status", "--porcelain") == "" and git(repo, "diff", "--cached", "main") == ""
    assert (repo / "apps_script/new.js").exists() and not (repo / "web_app").exists()
    assert git(repo, "show", "main:web_app/index.html") == "<p>changed"
