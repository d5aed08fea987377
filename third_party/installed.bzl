"""What configure.py found on this machine, for the repository rules beside this file."""

_RC = ".tensorflow_tvm.bazelrc"
_CURE = "Run ./bazelw, or `python3 configure.py --python=<a Python with the packages of requirements.txt>`."

def installed(repository_ctx):
    """Reads the facts that configure.py wrote.

    Args:
      repository_ctx: the context of the calling repository rule, which is
        evaluated again whenever configure.py writes other facts.

    Returns:
      A dict of strings: the `# fact: key=value` lines of the generated rc file.
    """
    root = repository_ctx.path(Label("//:WORKSPACE")).dirname
    if not root.get_child(_RC).exists:
        fail("This workspace is not configured yet. " + _CURE)
    text = repository_ctx.read(repository_ctx.path(Label("//:" + _RC)))
    facts = {}
    for line in text.splitlines():
        if line.startswith("# fact: "):
            key, _, value = line[len("# fact: "):].partition("=")
            facts[key] = value
    return facts

def link(repository_ctx, path, name):
    """Symlinks an installed folder into the repository.

    Args:
      repository_ctx: the context of the calling repository rule.
      path: the folder as configure.py found it.
      name: what to call it in the repository.
    """
    if not repository_ctx.path(path).exists:
        fail("%s was there when configure.py ran, and is gone. %s" % (path, _CURE))
    repository_ctx.symlink(path, name)
