"""The command line itself: which verb a word means."""


def test_a_mistyped_verb_is_told_with_what_was_meant(host):
    done = host.run("aply")
    assert done.code == 2 and "aply; did you mean `ingot apply`?" in done.err, done
    done = host.run("aply", "status")
    assert done.code == 2 and "did you mean `ingot apply`?" in done.err, done
    assert "did you mean" not in host.run("frobnicate").err
    assert "did you mean" not in host.run("status", "aply").err


def test_a_verbs_name_may_stand_for_something_else(host):
    # Of the verbs only those are made that the command line names: a folder may be called like one.
    host.one_service()
    assert "apply" in host.ok("--root", "status", "apply", "--help").out
    assert host.run("diff", "--help").code == 0
    assert host.ok("completion", "bash").out.count(") words=") > 30


def test_help_lists_all_verbs(host):
    verbs = host.ok("--help").out
    for verb in ("init", "apply", "rollback", "serve", "logout", "version"):
        assert f"\n  {verb} " in verbs, verb
    assert "build-received" not in verbs
