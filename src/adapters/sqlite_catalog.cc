#include "adapters/sqlite_catalog.h"

#include <fcntl.h>

#include <cerrno>
#include <optional>

#include "adapters/sqlite.h"
#include "adapters/sqlite_catalog_rows.h"
#include "base/group_sync.h"
#include "base/sync.h"

namespace ingot::adapters {
namespace {

// Released steps are never edited; a change of the schema is a new step (docs/formats/store.md).
const std::vector<std::string>& SchemaSteps() {
  static const std::vector<std::string> steps = {R"sql(
CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), generation INTEGER NOT NULL);
INSERT INTO meta(id, generation) VALUES(1, 0);
CREATE TABLE layers(
  id TEXT NOT NULL, diff_id TEXT NOT NULL, tar_bytes INTEGER NOT NULL, object_bytes INTEGER NOT NULL,
  blob TEXT, created INTEGER NOT NULL, PRIMARY KEY(id, diff_id)) WITHOUT ROWID;
CREATE INDEX layers_by_diff_id ON layers(diff_id, created);
CREATE TABLE images(
  digest TEXT PRIMARY KEY, created INTEGER NOT NULL, golden INTEGER NOT NULL,
  test_record TEXT NOT NULL, provenance TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE image_layers(
  image TEXT NOT NULL REFERENCES images(digest) ON DELETE CASCADE, position INTEGER NOT NULL,
  layer TEXT NOT NULL, diff_id TEXT NOT NULL,
  PRIMARY KEY(image, position),
  FOREIGN KEY(layer, diff_id) REFERENCES layers(id, diff_id)) WITHOUT ROWID;
CREATE INDEX image_layers_by_layer ON image_layers(layer, diff_id);
CREATE TABLE tags(
  repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL REFERENCES images(digest),
  updated INTEGER NOT NULL, PRIMARY KEY(repository, tag)) WITHOUT ROWID;
CREATE INDEX tags_by_digest ON tags(digest);
CREATE TABLE cache(
  key TEXT PRIMARY KEY, value TEXT NOT NULL, layers TEXT NOT NULL, images TEXT NOT NULL,
  last_used INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE leases(
  id TEXT PRIMARY KEY, purpose TEXT NOT NULL, boot_id TEXT NOT NULL, pid_namespace INTEGER NOT NULL,
  pid INTEGER NOT NULL, pid_start INTEGER NOT NULL, expires INTEGER NOT NULL,
  claims TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pins(
  owner TEXT NOT NULL, digest TEXT NOT NULL REFERENCES images(digest),
  PRIMARY KEY(owner, digest)) WITHOUT ROWID;
CREATE INDEX pins_by_digest ON pins(digest);
)sql",
                                                 R"sql(
CREATE TABLE repository_blobs(
  repository TEXT NOT NULL, digest TEXT NOT NULL, size_bytes INTEGER NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY(repository, digest)) WITHOUT ROWID;
CREATE INDEX repository_blobs_by_digest ON repository_blobs(digest);
CREATE TABLE repository_manifests(
  repository TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size_bytes INTEGER NOT NULL,
  subject TEXT, artifact_type TEXT NOT NULL, descriptor TEXT NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY(repository, digest)) WITHOUT ROWID;
CREATE INDEX repository_manifests_by_subject ON repository_manifests(repository, subject)
  WHERE subject IS NOT NULL;
CREATE TABLE repository_tags(
  repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, updated INTEGER NOT NULL,
  PRIMARY KEY(repository, tag),
  FOREIGN KEY(repository, digest) REFERENCES repository_manifests(repository, digest)
    ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX repository_tags_by_digest ON repository_tags(repository, digest);
)sql",
                                                 R"sql(
CREATE TABLE fixed_tags(
  repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY(repository, tag)) WITHOUT ROWID;
CREATE TABLE named_images(
  repository TEXT NOT NULL, digest TEXT NOT NULL REFERENCES images(digest) ON DELETE CASCADE,
  named INTEGER NOT NULL, PRIMARY KEY(repository, digest)) WITHOUT ROWID;
CREATE INDEX named_images_by_digest ON named_images(digest);
INSERT INTO named_images(repository, digest, named)
  SELECT repository, digest, max(updated) FROM tags GROUP BY repository, digest;
CREATE TABLE pulls(
  repository TEXT NOT NULL, digest TEXT NOT NULL, pulled INTEGER NOT NULL,
  PRIMARY KEY(repository, digest)) WITHOUT ROWID;
CREATE TABLE promotions(
  id INTEGER PRIMARY KEY AUTOINCREMENT, repository TEXT NOT NULL, channel TEXT NOT NULL,
  digest TEXT NOT NULL, previous TEXT, source TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,
  time INTEGER NOT NULL);
CREATE INDEX promotions_by_channel ON promotions(repository, channel);
CREATE TRIGGER promotions_are_not_changed BEFORE UPDATE ON promotions
  BEGIN SELECT RAISE(ABORT, 'a promotion is never changed'); END;
CREATE TRIGGER promotions_are_not_removed BEFORE DELETE ON promotions
  BEGIN SELECT RAISE(ABORT, 'a promotion is never removed'); END;
CREATE TABLE proofs(
  digest TEXT NOT NULL, environment TEXT NOT NULL, proven INTEGER NOT NULL,
  PRIMARY KEY(digest, environment)) WITHOUT ROWID;
CREATE TABLE project_retention(project TEXT PRIMARY KEY, keep INTEGER, keep_for INTEGER) WITHOUT ROWID;
CREATE TABLE reservations(
  id TEXT PRIMARY KEY, boot_id TEXT NOT NULL, pid_namespace INTEGER NOT NULL, pid INTEGER NOT NULL,
  pid_start INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE disk_usage(
  id INTEGER PRIMARY KEY CHECK(id = 1), used_bytes INTEGER NOT NULL, added_bytes INTEGER NOT NULL,
  boot_id TEXT NOT NULL);
)sql"};
  return steps;
}

}  // namespace

struct SqliteCatalog::State {
  fs::path path;
  // Two connections, so that a look need not wait for a write of this process, which may be waiting for
  // another process. The second is opened with the first write.
  Sync<std::optional<Database>> reader;
  Sync<std::optional<Database>> writer;

  // Of the write-ahead log, for commits that share it. After it failed once nothing is known of what was
  // committed and not synced, so nothing is promised any more.
  GroupSync log_sync{[this] { return SyncLog(); }};
  Fd log;  // of who syncs
  std::optional<Error> log_error;

  Result<void> SyncLog() {
    if (log_error) return *log_error;
    if (!log.valid()) log = TRY(OpenFile(path.string() + "-wal", O_RDWR));
    if (::fdatasync(log.get()) == 0) return {};
    log_error = ErrnoError(errno, "sync " + path.string() + "-wal")
                    .While("making commits durable (restart when the disk is well again)");
    return *log_error;
  }
};

SqliteCatalog::SqliteCatalog(std::unique_ptr<State> state) : state_(std::move(state)) {}
SqliteCatalog::~SqliteCatalog() = default;

Result<std::unique_ptr<SqliteCatalog>> SqliteCatalog::Open(const fs::path& path) {
  auto state = std::make_unique<State>();
  state->path = path;
  state->reader.lock()->emplace(TRY(Database::Open(path)));
  TRY(Migrate(**state->reader.lock(), SchemaSteps()));
  return std::unique_ptr<SqliteCatalog>(new SqliteCatalog(std::move(state)));
}

Result<void> SqliteCatalog::Read(const std::function<Result<void>(const store::CatalogRows&)>& read) {
  auto lock = state_->reader.lock();
  Database& db = **lock;
  TRY(db.Run("BEGIN"));
  auto done = read(SqliteRows(db));
  auto ended = db.Run("COMMIT");
  if (!done) return done;
  return ended;
}

Result<void> SqliteCatalog::Write(const std::function<Result<void>(store::CatalogRows&)>& write,
                                  Durability durability) {
  auto lock = state_->writer.lock();
  if (!lock->has_value()) lock->emplace(TRY(Database::Open(state_->path)));
  Database& db = **lock;
  // NORMAL: the log is not synced at the commit, but with the next one that is (or at a checkpoint). Set each
  // time, outside the transaction: there it would have no effect.
  TRY(db.Run(durability == Durability::kDurable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  Transaction transaction = TRY(Transaction::Begin(db));
  SqliteRows rows(db);
  TRY(write(rows));
  TRY(rows.Finish());
  return transaction.Commit();
}

Result<void> SqliteCatalog::WriteTogether(const std::function<Result<void>(store::CatalogRows&)>& write) {
  TRY(Write(write, Durability::kNone));
  return state_->log_sync.Wait();
}

}  // namespace ingot::adapters
