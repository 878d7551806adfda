"""What is in branches, and how repositories are set up: it lands as git would have it, or goes back with a word."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from queueing import configure, drive_until, queue
from sacred import assert_as_git_would, picture
from support import git

from coord.daemon import run
from coord.service import mail, merges, worktrees
from coord.service.coord import Coord
from coord.service.merging.landing import Landing

As = Callable[..., Coord]


@pytest.fixture
def place(repo: Path, coord_for: As) -> Path:
    """Backend's worktree."""
    return Path(worktrees.add(coord_for("owner"), ("backend",)).trees[0].path)


def write(top: Path, name: str, content: str | bytes) -> Path:
    (top / name).parent.mkdir(parents=True, exist_ok=True)
    (top / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return top / name


def commit(top: Path, words: str = "work") -> str:
    git(top, "add", "-A")
    git(top, "commit", "-qm", words)
    return git(top, "rev-parse", "HEAD")


def ask(coord_for: As) -> None:
    with coord_for("backend") as coord:
        merges.request(coord)


def daemon(coord_for: As) -> None:
    with coord_for("owner") as coord:
        run.once(coord, say=lambda _: None)


def landed(repo: Path, coord_for: As) -> None:
    """Let the daemon merge what was asked for; the owner's checkout then is what git itself would check out."""
    ask(coord_for)
    daemon(coord_for)
    assert not queue(coord_for("owner")), queue(coord_for("owner"))
    assert git(repo, "merge-base", "--is-ancestor", "agent/backend", "main") == "", what(coord_for)
    assert_as_git_would(repo, repo.parent / "scratch")


def back(repo: Path, coord_for: As) -> str:
    """Let the daemon send back what was asked for, with nothing touched; return what its author is told."""
    ask(coord_for)
    before = picture(repo), git(repo, "rev-parse", "main")
    daemon(coord_for)
    assert (picture(repo), git(repo, "rev-parse", "main")) == before
    assert not queue(coord_for("owner"))
    return what(coord_for)


def what(coord_for: As) -> str:
    with coord_for("backend") as coord:
        letters = [item.message for item in mail.list_(coord).items if item.message.subject.startswith("not merged")]
    return f"{letters[-1].subject}\n{letters[-1].body}" if letters else ""


# ---- links, modes, names ----


def test_links_of_every_kind(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'test -f inside && test -L outside && test -L nowhere && test -L web_app/index.html'")
    git(place, "merge", "-q", "main")
    (place / "inside").symlink_to("README.md")
    (place / "outside").symlink_to("/etc/hostname")
    (place / "nowhere").symlink_to("no/such/thing")
    (place / "apps_script/chefs.js").unlink()
    (place / "apps_script").rmdir()
    (place / "folder").symlink_to("web_app")
    (place / "apps_script").symlink_to("web_app")
    (place / "web_app/index.html").unlink()
    (place / "web_app/index.html").symlink_to("../README.md")
    commit(place)
    landed(repo, coord_for)
    assert (repo / "apps_script").is_symlink() and str((repo / "outside").readlink()) == "/etc/hostname"
    (place / "apps_script").unlink()
    write(place, "apps_script/again.js", "a folder again\n")
    (place / "inside").unlink()
    write(place, "inside", "a file now\n")
    commit(place)
    landed(repo, coord_for)
    assert not (repo / "inside").is_symlink() and not (repo / "web_app/again.js").exists()


def test_a_link_that_leads_out_of_the_checkout_is_not_written_through(
    repo: Path, coord_for: As, place: Path, tmp_path: Path
) -> None:
    """Main makes a folder of what the branch makes a link to elsewhere: whoever wins, nothing outside changes."""
    configure(repo, "test: 'true'")
    outside = tmp_path / "outside"
    outside.mkdir()
    (place / "data").symlink_to(outside)
    commit(place)
    write(repo, "data/file", "in the folder\n")
    commit(repo)
    assert "it conflicts in data" in back(repo, coord_for)
    assert not list(outside.iterdir())


def test_modes(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'test -x run.sh && ./run.sh && ! test -x README.md'")
    write(repo, "README.md", "# Farm\n").chmod(0o755)
    write(repo, "run.sh", "#!/bin/sh\nexit 1\n")
    commit(repo)
    git(place, "merge", "-q", "main")
    (place / "run.sh").chmod(0o755)
    (place / "README.md").chmod(0o644)
    commit(place, "modes alone")
    write(repo, "run.sh", "#!/bin/sh\nexit 0\n")
    commit(repo, "content alone")
    landed(repo, coord_for)
    assert os.access(repo / "run.sh", os.X_OK) and "exit 0" in (repo / "run.sh").read_text()


def test_a_mode_that_git_does_not_look_at_here(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'true'")
    git(repo, "config", "core.fileMode", "false")
    (repo / "README.md").chmod(0o755)
    write(place, "README.md", "# Farm, more\n")
    commit(place)
    landed_blob = git(place, "rev-parse", "HEAD:README.md")
    ask(coord_for)
    daemon(coord_for)
    assert git(repo, "rev-parse", "main:README.md") == landed_blob and git(repo, "status", "--porcelain") == ""


def test_renames_are_followed(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'grep -q two docs/guide.md && grep -q head docs/guide.md && test -f lib/a'")
    lines = "".join(f"line {number}\n" for number in range(40))
    write(repo, "guide.md", lines)
    write(repo, "src/a", "a\n" + lines)
    commit(repo)
    git(place, "merge", "-q", "main")
    (place / "docs").mkdir()
    git(place, "mv", "guide.md", "docs/guide.md")
    git(place, "mv", "src", "lib")
    write(place, "docs/guide.md", lines.replace("line 2\n", "line two\n"))
    commit(place, "moved")
    write(repo, "guide.md", f"head\n{lines}")
    commit(repo, "written where it was")
    landed(repo, coord_for)
    assert not (repo / "guide.md").exists() and not (repo / "src").exists() and (repo / "lib/a").exists()


def test_a_file_added_to_a_folder_that_moved_is_asked_about(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'true'")
    git(place, "mv", "web_app", "pages")
    commit(place)
    write(repo, "web_app/new.html", "<p>new\n")
    commit(repo)
    assert "it conflicts in pages/new.html" in back(repo, coord_for)


def test_one_file_renamed_to_two_names_goes_back(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'true'")
    git(place, "mv", "README.md", "ours.md")
    commit(place)
    git(repo, "mv", "README.md", "theirs.md")
    commit(repo)
    word = back(repo, coord_for)
    assert "it conflicts in" in word and "ours.md" in word and "theirs.md" in word


def test_renames_of_case_alone(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'ls readme.md Web_App/index.html'")
    git(place, "mv", "README.md", "readme.md")
    git(place, "mv", "web_app", "tmp")
    git(place, "mv", "tmp", "Web_App")
    commit(place, "case")
    write(repo, "README.md", "# Farm, and more\n")
    commit(repo)
    landed(repo, coord_for)
    assert {"readme.md", "Web_App"} <= set(os.listdir(repo)) and (repo / "readme.md").read_text().endswith("more\n")
    assert "README.md" not in os.listdir(repo)


# ---- large and binary ----


def test_huge_and_binary_files(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'test $(wc -c <huge.bin) = 100663296 && test $(wc -c <picture) = 65536'")
    git(repo, "config", "core.bigFileThreshold", "8m")
    noise = os.urandom(1 << 16)
    write(place, "picture", noise)
    with (place / "huge.bin").open("wb") as file:
        for number in range(96):
            file.write(bytes([number, 0]) * (1 << 19))
    commit(place)
    landed(repo, coord_for)
    assert (repo / "picture").read_bytes() == noise


def test_a_binary_file_that_both_changed_goes_back(repo: Path, coord_for: As, place: Path) -> None:
    configure(repo, "test: 'true'")
    write(place, "picture", b"\0theirs" + os.urandom(512))
    commit(place)
    write(repo, "picture", b"\0ours" + os.urandom(512))
    commit(repo)
    assert "it conflicts in picture" in back(repo, coord_for)


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


def waits(repo: Path, coord_for: As, word: str) -> None:
    """Let the daemon look twice at what was asked for: it waits untouched, and the owner is told once."""
    before = picture(repo), git(repo, "rev-parse", "main")
    daemon(coord_for)
    daemon(coord_for)
    assert (picture(repo), git(repo, "rev-parse", "main")) == before
    (one,) = queue(coord_for("owner"))
    assert one.state == "queued" and one.result.startswith("waits: ") and word in one.result, one
    letters = [item.message for item in mail.list_(coord_for("owner")).items]
    assert [letter.subject for letter in letters] == ["merge waits: agent/backend"] and word in letters[0].body


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
    if home != "main":
        git(repo, "switch", "-qc", home)
    hook = write(repo, ".git/hooks/reference-transaction", PROTECTS)
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
    assert picture(repo) == before and git(repo, "rev-parse", "main") == tip
