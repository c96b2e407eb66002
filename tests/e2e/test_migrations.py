"""Migrations of a real PostgreSQL as part of releases: order, reverts, the window, kills, two deployers at once."""
import json
import random
import signal
import sqlite3
import threading
import time

import pytest

from host import Host, wait_for
from postgres import Postgres, binaries

pytestmark = pytest.mark.skipif(binaries() is None, reason="SKIP: postgresql is not installed")


@pytest.fixture(scope="module")
def server():
    made = Postgres()
    yield made
    made.close()


@pytest.fixture
def database(server):
    """The server with an empty database."""
    server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return server


class Shop:
    """A project whose releases are a revision and some scripts."""

    def __init__(self, host, database, project=None):
        self.host = host
        self.database = database
        self.folder = host.project / "migrations"
        self.folder.mkdir()
        (host.project / "password").write_text(database.PASSWORD + "\n")

    def script(self, name, text):
        (self.folder / name).write_text(text)

    def release(self, revision, keep_old="1m"):
        self.host.one_service(revision, rollout=f"{{ keep_old: {keep_old}, drain: 1s }}", extra=f"""
endpoints:
  db: {{ url: "{self.database.url}" }}
secrets: {{ db: {{ file: password }} }}
migrations: {{ shop: {{ endpoint: db, scripts: migrations, secret: db }} }}
""".strip("\n"))
        # `extra` stands inside the service; these blocks belong to the top.
        text = (self.host.project / "ingot.yaml").read_text()
        (self.host.project / "ingot.yaml").write_text(text.replace("    endpoints:", "endpoints:"))

    def apply(self, **options):
        return self.host.run("apply", "--yes", "--json", **options)

    def ledger(self):
        return self.database.sql("SELECT version || ' ' || stage || ' ' || (ended IS NOT NULL) || ' ' || done || '/' || "
                                 "statements FROM ingot_migrations ORDER BY ended NULLS LAST, version")

    def states(self):
        status = self.host.run("migrate", "status", "--json").json()
        return [(step["script"], step["state"]) for step in status["migrations"][0]["steps"]]


@pytest.fixture
def shop(served, database):
    return Shop(served, database)


def fail(done, *parts):
    for part in parts:
        assert part in done.out + done.err, done


def test_a_release_brings_its_schema(shop):
    shop.script("001_users.sql", "CREATE TABLE users (id int PRIMARY KEY, name text);\nINSERT INTO users VALUES (1, 'a;b');\n")
    shop.script("002_email.expand.sql", "ALTER TABLE users ADD COLUMN email text;\n"
                "CREATE INDEX CONCURRENTLY users_email ON users (email);\n")
    shop.release("one")
    plan = shop.host.ok("plan").out
    assert "migrate shop: migrations/001_users.sql" in plan and "002_email" in plan, plan
    done = shop.apply()
    assert done.code == 0, done
    assert done.json()["rollout"]["entered"].keys() >= {"migrating", "starting"}
    assert shop.ledger() == ["1 expand true 2/2", "2 expand true 2/2"]
    assert shop.database.sql("SELECT revision, migration FROM ingot_migrations LIMIT 1") == ["r1|shop/shop"]
    assert shop.states() == [("001_users", "applied"), ("002_email", "applied")]
    # The same again is nothing to do; the next script is a revision of its own.
    assert shop.apply().json()["accepted"]["accepted"] == "nothing"
    shop.script("003_phone.sql", "ALTER TABLE users ADD COLUMN phone text;")
    shop.release("one")
    assert shop.apply().code == 0
    assert shop.ledger()[-1] == "3 expand true 1/1"
    kinds = [e["kind"] for e in map(json.loads, shop.host.ok("events", "--json").out.splitlines())]
    assert kinds.count("migration.applied") == 3


def test_a_schema_that_comes_first_later_does_not_hide_the_ledger(shop):
    shop.script("001_users.sql", "CREATE TABLE users (id int);\nCREATE SCHEMA shop;")  # the user's own name
    shop.release("one")
    assert shop.apply().code == 0
    try:
        shop.script("002_more.sql", "CREATE TABLE shop.more (id int);\nSET search_path = nowhere;")
        shop.script("003_last.sql", "CREATE TABLE last (id int);")
        shop.release("two")
        assert shop.apply().code == 0
        assert [row[0] for row in shop.ledger()] == ["1", "2", "3"]
    finally:
        shop.database.sql("DROP SCHEMA shop CASCADE")


def test_a_server_that_hangs_is_given_up(shop):
    shop.script("001_users.sql", "CREATE TABLE users (id int);")
    shop.release("one")
    shop.database.process.send_signal(signal.SIGSTOP)
    try:
        done = shop.apply()
        assert done.code == 1, done
        fail(done, "the database cannot be reached: it does not answer within 10 s")
    finally:
        shop.database.process.send_signal(signal.SIGCONT)


def test_by_hand(shop):
    shop.script("001_users.sql", "CREATE TABLE users (id int);")
    shop.script("002_gone.contract.sql", "DROP TABLE users;")
    shop.release("one")
    assert shop.states() == [("001_users", "pending"), ("002_gone.contract", "pending")]
    assert "applied shop: 001_users" in shop.host.ok("migrate", "run").out
    assert "no script is due" in shop.host.ok("migrate", "run").out
    assert shop.ledger() == ["1 expand true 1/1"]


def test_a_script_that_fails_reverts_and_names_its_line(shop):
    shop.script("001_users.sql", "CREATE TABLE users (id int);")
    shop.release("one")
    assert shop.apply().code == 0
    shop.script("002_bad.sql", "ALTER TABLE users ADD COLUMN a int;\n\nALTER TABLE users\n  ADD COLUMN id int;\n")
    shop.release("two")
    done = shop.apply()
    assert done.code == 5, done
    fail(done, "migrations/002_bad.sql:3: ERROR 42701")
    assert shop.host.get()[:2] == (200, "one")
    assert shop.ledger() == ["1 expand true 1/1"]
    assert shop.database.sql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'users'") == ["1"]
    # A mistake at a place of a statement is named by its own line.
    shop.script("002_bad.sql", "ALTER TABLE users ADD COLUMN a int;\n\nSELECT\n  nothing_of_it\nFROM users;\n")
    shop.release("three")
    fail(shop.apply(), "migrations/002_bad.sql:4: ERROR 42703")
    shop.script("002_bad.sql", "ALTER TABLE users ADD COLUMN a int;\n")
    shop.release("four")
    assert shop.apply().code == 0
    assert shop.host.get()[:2] == (200, "four")


def test_contract_scripts_wait_for_the_window(shop):
    shop.script("001_users.sql", "CREATE TABLE users (id int, name text);")
    shop.release("one")
    assert shop.apply().code == 0
    shop.script("002_full_name.sql", "ALTER TABLE users ADD COLUMN full_name text;")
    shop.script("003_drop_name.contract.sql", "ALTER TABLE users DROP COLUMN name;")
    shop.release("two", keep_old="4s")
    assert "003_drop_name.contract.sql (contract: when no revision is left" in shop.host.ok("plan").out
    assert shop.apply().code == 0
    assert shop.states()[2] == ("003_drop_name.contract", "waits")
    # Inside the window one goes back, and needs no script for it.
    shop.host.ok("rollback")
    assert shop.host.get()[1] == "one"
    shop.host.ok("rollback", "r2")
    assert "name" in shop.database.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'users'")
    shop.release("three", keep_old="1s")
    assert shop.apply().code == 0
    shop.release("four", keep_old="1s")
    assert shop.apply().code == 0
    wait_for("the contract script", lambda: len(shop.ledger()) == 3, 30)
    wait_for("its end", lambda: shop.ledger()[-1] == "3 contract true 1/1", 30)
    assert "name" not in shop.database.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'users'")
    fail(shop.host.run("rollback", "r1"), "contract script 3 of migration shop has been run since r1")
    assert shop.host.get()[1] == "four"


def test_what_was_changed_or_is_missing_is_refused(shop):
    shop.script("001_users.sql", "CREATE TABLE users (id int);")
    shop.script("002_more.sql", "CREATE TABLE more (id int);")
    shop.release("one")
    assert shop.apply().code == 0
    shop.script("001_users.sql", "CREATE TABLE users (id bigint);")
    shop.release("two")
    plan = shop.host.run("plan")
    assert plan.code == 1
    fail(plan, "migrations/001_users.sql is not what was applied")
    refused = shop.apply()
    assert refused.code == 4, refused
    fail(refused, "migrations/001_users.sql is not what was applied")
    shop.script("001_users.sql", "CREATE TABLE users (id int);")
    (shop.folder / "002_more.sql").unlink()
    refused = shop.apply()
    assert refused.code == 4, refused
    fail(refused, "the database has 002_more")
    assert shop.host.run("migrate", "status").code == 1
    assert shop.host.get()[1] == "one"


def test_a_database_that_is_away_is_not_fine(shop):
    shop.script("001_users.sql", "CREATE TABLE users (id int);")
    shop.release("one")
    shop.database.stop()
    try:
        done = shop.apply()
        assert done.code == 1, done
        fail(done, "the database cannot be reached")
        assert shop.host.run("plan").code == 1
        assert shop.host.run("migrate", "status").code == 1
        assert shop.host.get()[0] == 0
    finally:
        shop.database.start()
    (shop.host.project / "password").write_text("wrong")
    fail(shop.apply(), "password authentication failed")
    assert "wrong" not in (shop.host.base / "daemon.log").read_text()


def test_the_lint_names_file_and_line(shop):
    shop.script("001_users.sql", "CREATE TABLE users (id int);")
    shop.script("002_bad.sql", "SELECT 1;\nCREATE INDEX i ON users (id);\nDROP TABLE users; -- ingot: allow drop\n")
    shop.release("one")
    done = shop.host.run("validate")
    assert done.code == 2, done
    fail(done, "migrations/002_bad.sql:2:1: index: CREATE INDEX lets nobody write")
    assert "drop" not in done.err
    fail(shop.apply(), "migrations/002_bad.sql:2: index:")
    shop.script("002_bad.sql", "COPY users FROM stdin;")
    fail(shop.host.run("validate"), "migrations/002_bad.sql:1:1: line 1: COPY")


def test_a_lock_that_is_not_had_is_given_up_and_tried_again(shop):
    shop.script("001_users.sql", "CREATE TABLE users (id int);")
    shop.release("one")
    assert shop.apply().code == 0
    blocker = shop.database.open("BEGIN; LOCK TABLE users; SELECT pg_sleep(8)")
    try:
        wait_for("the lock", lambda: shop.database.sql("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock'"))
        shop.script("002_email.sql", "ALTER TABLE users ADD COLUMN email text;")
        shop.release("two")
        assert shop.apply().code == 0
        assert shop.ledger()[-1] == "2 expand true 1/1"
    finally:
        blocker.wait(timeout=30)


SLOW = "".join(f"SELECT pg_sleep(0.05);\nINSERT INTO log VALUES ({i});\n" for i in range(8))


def test_a_daemon_that_is_killed_goes_on(shop):
    """At random moments of a release with many statements, three times each."""
    chance = random.Random(7)
    shop.script("001_log.sql", "CREATE TABLE log (n int);")
    shop.release("r0")
    assert shop.apply().code == 0
    for n in range(1, 4):
        shop.script(f"{3 * n - 1:03}_slow.sql", SLOW)
        shop.script(f"{3 * n:03}_alone.sql", f"CREATE INDEX CONCURRENTLY i{n} ON log (n, (n + {n}));\nVACUUM log;\n" + SLOW)
        shop.script(f"{3 * n + 1:03}_each.sql", "-- ingot: no-transaction\n" + SLOW)
        shop.release(f"r{n}")
        threading.Thread(target=shop.apply).start()
        wait_for("the release begins", lambda: shop.host.status()["rollout"])
        for _ in range(3):
            time.sleep(chance.uniform(0.05, 0.9))
            shop.host.kill_daemon()
            shop.host.start()
        wait_for("the release", lambda: shop.host.get()[1] == f"r{n}", 60)
        assert shop.database.sql("SELECT n, count(*) FROM log GROUP BY n HAVING count(*) <> " + str(3 * n)) == []
        assert all(" true " in row for row in shop.ledger()), shop.ledger()
    assert shop.database.sql("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == ["0"]


def test_an_index_that_was_killed_is_made_anew(shop):
    shop.script("001_big.sql", "CREATE TABLE big (n int);\nINSERT INTO big SELECT generate_series(1, 1000);")
    shop.release("one")
    assert shop.apply().code == 0
    # An old transaction that can see the table: CREATE INDEX CONCURRENTLY waits for it in its middle.
    blocker = shop.database.open("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM big; SELECT pg_sleep(60)")
    try:
        wait_for("the old transaction", lambda: shop.database.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE "
                                                                  "'BEGIN ISOL%' AND wait_event = 'PgSleep'"))
        shop.script("002_index.sql", "CREATE INDEX CONCURRENTLY big_n ON big (n);\nALTER TABLE big ADD COLUMN m int;\n")
        shop.release("two")
        threading.Thread(target=shop.apply).start()
        half = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('big_n') AND NOT indisvalid"
        wait_for("half of the index", lambda: shop.database.sql(half), 30)
        shop.host.kill_daemon()
        # The server notices within a second or two, and leaves the half behind.
        wait_for("the end of its session", lambda: not shop.database.sql(
            "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'ingot %'"), 30)
        assert shop.database.sql(half) == ["1"]
        assert shop.ledger()[-1] == "2 expand false 0/2"
        shop.host.start()
    finally:
        blocker.kill()
        blocker.wait()
        shop.database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN ISOL%'")
    wait_for("the release", lambda: shop.host.get()[1] == "two", 60)
    assert shop.ledger()[-1] == "2 expand true 2/2"
    assert shop.database.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('big_n')") == ["t"]


def test_two_deployers_at_once(shop):
    """Two daemons, one database: one migrates, the other finds it done."""
    other = Host()
    try:
        other.start()
        second = Shop(other, shop.database)
        for one in (shop, second):
            one.script("001_log.sql", "CREATE TABLE log (n int);")
            one.script("002_slow.sql", SLOW)
            one.release("one")
        results = []
        threads = [threading.Thread(target=lambda one=one: results.append(one.apply())) for one in (shop, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [done.code for done in results] == [0, 0], results
        assert shop.database.sql("SELECT count(*), count(DISTINCT n) FROM log") == ["8|8"]
        assert shop.ledger() == ["1 expand true 1/1", "2 expand true 16/16"]
    finally:
        other.close()


def test_who_waits_too_long_is_told_who_holds_the_lock(host, database):
    host.start(env={"INGOT_MIGRATION_LOCK_WAIT": "1s"})
    shop = Shop(host, database)
    shop.script("001_users.sql", "CREATE TABLE users (id int);")
    shop.release("one")
    holder = database.open(f"SET application_name = 'somebody else'; SELECT pg_advisory_lock({0x696e676f746d6967}); "
                           "SELECT pg_sleep(60)")
    try:
        wait_for("the lock", lambda: database.sql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"))
        done = shop.apply()
        assert done.code == 5, done
        fail(done, 'another migration of this database is running: \\"somebody else\\" (process')
    finally:
        holder.kill()
        holder.wait()
        database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'somebody else'")


def test_an_abort_ends_the_statement_that_runs(shop):
    shop.script("001_long.sql", "SELECT pg_sleep(300);")
    shop.release("one")
    apply = threading.Thread(target=shop.apply)
    apply.start()
    running = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'ingot %' AND query LIKE '%pg_sleep(300)%'"
    wait_for("the statement", lambda: shop.database.sql(running))
    status = shop.host.ok("rollout", "status").out
    assert "migrating" in status and "001_long, statement 1 of 1" in status, status
    shop.host.ok("rollout", "abort")
    apply.join(timeout=30)
    assert not apply.is_alive()
    assert not shop.database.sql(running)


def test_sqlite(served):
    host = served
    file = host.base / "shop.db"
    folder = host.project / "migrations"
    folder.mkdir()
    host.one_service("one")
    definition = host.project / "ingot.yaml"
    definition.write_text(definition.read_text() + f'endpoints: {{ db: {{ url: "sqlite://{file}" }} }}\n'
                          "migrations: { shop: { endpoint: db, scripts: migrations } }\n")
    (folder / "001_users.sql").write_text(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, n INT);\n"
        "CREATE TRIGGER t AFTER INSERT ON users BEGIN UPDATE users SET n = 1; SELECT 2; END;\nINSERT INTO users (n) VALUES (7);\n")
    assert host.run("apply", "--yes").code == 0
    with sqlite3.connect(file) as database:
        assert database.execute("SELECT n FROM users").fetchall() == [(1,)]
        assert database.execute("SELECT version, done, ended IS NOT NULL FROM ingot_migrations").fetchall() == [(1, 3, 1)]
    (folder / "002_bad.sql").write_text("CREATE TABLE more (id INT);\nINSERT INTO others VALUES (1);\n")
    done = host.run("apply", "--yes")
    assert done.code == 5, done
    assert "migrations/002_bad.sql:2: no such table: others" in done.err, done
    with sqlite3.connect(file) as database:
        assert database.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchall() == [(0,)]
